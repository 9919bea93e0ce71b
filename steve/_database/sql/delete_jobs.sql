-- Delete many jobs that have ended, with their rows in the log: a batch. It takes and locks them as cancel_jobs.sql does.
-- Returns how many, which ones it passed by, and where the next batch goes on; null: there are no more.
with {batch}, locked as materialized (
  select ctid as place, uid
  from only {schema}.job
  where uid = any(array(select uid from wanted)) and ({matches}) is true and not %(dry)s
  for update skip locked
), changed as (
  delete from only {schema}.job
  where ctid = any(array(select place from locked))
  returning uid
), forgotten as (
  delete from {schema}.attempt
  where job_uid = any(array(select uid from changed))
)
select
  case when %(dry)s then (select pg_catalog.count(*) from wanted) else (select pg_catalog.count(*) from changed) end,
  array(select uid from wanted where uid not in (select uid from changed)),
  {next}
