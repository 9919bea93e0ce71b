-- Write that somebody in this process waits for jobs to end, for so many seconds from now on. With `notify` the processes that run
-- jobs hear of it at once. Otherwise they read it with their next look at the processes (beat.sql). If another process has announced
-- or renewed it lately, they know that somebody waits, and read how long this one does before that is over.
--
-- A commit that notifies keeps all others that do from theirs until it is on the disk. The row need not outlive a crash of the
-- server, after which the connection is lost and it is announced again: so this commit does not wait for the disk.
--
-- The rows of processes that have not waited for a minute are deleted.
with quick as materialized (
  select pg_catalog.set_config('synchronous_commit', 'off', true) as value
), over as (
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
select %(id)s, pg_catalog.now() + %(seconds)s::integer * interval '1 second'
from quick
on conflict (id) do update
set until = excluded.until
returning (
  select pg_catalog.pg_notify(%(channel)s, 'wait ' || %(seconds)s::integer::pg_catalog.text)
  where %(notify)s and pg_catalog.pg_notification_queue_usage() < 0.5
    and not exists (select from {schema}.waiter where id <> %(id)s and until > pg_catalog.now() + interval '5 seconds')
)
