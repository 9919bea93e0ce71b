-- Write that somebody in this process waits for jobs to end, for so many seconds from now on. With `notify` the processes that run
-- jobs hear of it at once. Otherwise they read it with their next look at the processes (beat.sql).
--
-- The rows of processes that have not waited for a minute are deleted.
with over as (
  select id
  from {schema}.waiter
  where until < pg_catalog.now() - interval '1 minute' and id <> %(id)s
  limit 100
  for update skip locked
), deleted as (
  delete from {schema}.waiter
  where id in (select id from over)
)
insert into {schema}.waiter (id, until)
values (%(id)s, pg_catalog.now() + %(seconds)s::integer * interval '1 second')
on conflict (id) do update
set until = excluded.until
returning (
  select pg_catalog.pg_notify(%(channel)s, 'wait ' || %(seconds)s::integer::pg_catalog.text)
  where %(notify)s and pg_catalog.pg_notification_queue_usage() < 0.5
)
