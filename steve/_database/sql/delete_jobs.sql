-- Delete many jobs that have ended, with their rows in the log: a batch. It looks for them as cancel_jobs.sql does. Returns how
-- many, which ones were locked by others, and the last uid that was looked at; null: there are no more.
with looked_at as materialized (
  (
    select uid, ({matches}) is true as matches
    from only {schema}.job
    where %(uids)s::pg_catalog.uuid[] is null and uid > %(after)s::pg_catalog.uuid and uid <= %(last)s::pg_catalog.uuid
    order by uid
    limit %(look)s
  )
  union all
  select uid, ({matches}) is true
  from only {schema}.job
  where uid = any(%(uids)s::pg_catalog.uuid[])
), wanted as materialized (
  select uid
  from looked_at
  where matches
  order by uid
  limit %(most)s
), locked as materialized (
  select uid
  from only {schema}.job
  where uid = any(array(select uid from wanted)) and ({matches}) is true and not %(dry)s
  for update skip locked
), changed as (
  delete from only {schema}.job
  where uid = any(array(select uid from locked))
  returning uid
), forgotten as (
  delete from {schema}.attempt
  where job_uid = any(array(select uid from changed))
)
select
  case when %(dry)s then (select pg_catalog.count(*) from wanted) else (select pg_catalog.count(*) from changed) end,
  array(select uid from wanted where uid not in (select uid from locked)),
  case when (select pg_catalog.count(*) from wanted) >= %(most)s
    then (select uid from wanted order by uid desc limit 1)
    else (select uid from looked_at order by uid desc limit 1)
  end
