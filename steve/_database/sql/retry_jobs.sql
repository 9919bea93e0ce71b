-- Make many jobs pending again: a batch. It takes and locks them as cancel_jobs.sql does, and treats each as
-- retry_job.sql does. Of the jobs with one unique key it takes the oldest, and none while another job has that key.
--
-- Returns how many, which ones it passed by, how many it left out because of their unique keys, the unique keys of those taken
-- (with `dry`), and where the next batch goes on; null: there are no more. With `dry` nothing is changed. Raises 23505 if a job
-- with one of these keys was created meanwhile.
with {batch}, locked as materialized (
  select uid, unique_key, lease_no, attempts, process, started_at, completed_at
  from only {schema}.job
  where uid = any(array(select uid from wanted)) and ({matches}) is true and not %(dry)s::boolean
  for no key update skip locked
), candidate as (
  select uid, unique_key
  from locked
  union all
  select uid, unique_key
  from wanted
  where %(dry)s::boolean
), taken as materialized (
  select uid, unique_key
  from candidate
  where unique_key is null
  union all
  (
    select distinct on (unique_key) uid, unique_key
    from candidate
    where unique_key is not null
      -- not "not exists", which may become a join that reads all keys
      and (
        select holder.uid
        from {schema}.job as holder
        where holder.unique_key = candidate.unique_key
          and holder.status not in ('completed', 'failed', 'cancelled')
        limit 1
      ) is null
    order by unique_key, uid
  )
), of_attempt as materialized (
  select uid, lease_no, attempts, process, started_at, completed_at
  from locked
  where process is not null and uid in (select uid from taken)
), {first_attempt}, changed as (
  update only {schema}.job
  set {retried}
  where uid = any(array(select uid from taken where not %(dry)s::boolean))
  returning uid
)
select
  case when %(dry)s::boolean then (select pg_catalog.count(*) from taken) else (select pg_catalog.count(*) from changed) end as done,
  array(select uid from wanted where uid not in (select uid from locked)) as passed,
  (select pg_catalog.count(*) from candidate) - (select pg_catalog.count(*) from taken),
  case when %(dry)s::boolean then array(select unique_key::pg_catalog.text from taken where unique_key is not null) end,
  {next} as last,
  case when %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
    then (select pg_catalog.pg_notify(%(channel)s, '') from changed limit 1)
  end
