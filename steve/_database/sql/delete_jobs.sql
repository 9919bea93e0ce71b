-- Delete many jobs that have ended, with all that their attempts have left: a batch. It takes and locks them as cancel_jobs.sql
-- does. Returns how many, which ones it passed by, and where the next batch goes on; null: there are no more. If somebody waits
-- for jobs, the channel of the waits gets a notification.
with {batch}, locked as materialized (
  select ctid as place, uid
  from only {schema}.job
  where uid = any(array(select uid from wanted)) and ({matches}) is true and not %(dry)s::boolean
  for update skip locked
), changed as (
  delete from only {schema}.job
  where ctid = any(array(select place from locked))
  returning uid
), forgotten as (
  delete from {schema}.attempt
  where job_uid = any(array(select uid from changed))
), unlogged as (
  delete from {schema}.log
  where job_uid = any(array(select uid from changed))
), unreported as (
  delete from {schema}.progress
  where job_uid = any(array(select uid from changed))
)
select
  case when %(dry)s::boolean then (select pg_catalog.count(*) from wanted) else (select pg_catalog.count(*) from changed) end as done,
  array(select uid from wanted where uid not in (select uid from changed)) as passed,
  {next} as last,
  case when %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
      and exists (select from changed)
      and exists (select from {schema}.waiter where until > pg_catalog.now())
    then pg_catalog.pg_notify(%(ended)s, '')
  end
