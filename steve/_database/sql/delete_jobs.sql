-- Delete many jobs that have ended, with all that their attempts have left: a batch. It looks for them as cancel_jobs.sql does.
-- Returns how many, which ones it passed by, and where the next batch goes on; null: there are no more. If somebody waits for
-- jobs, the channel of the waits gets a notification.
with bound as materialized (
  select coalesce(
    %(upto)s::pg_catalog.uuid,
    (
      select uid
      from only {schema}.job
      where uid > %(after)s::pg_catalog.uuid and uid <= %(last)s::pg_catalog.uuid
      order by uid
      offset %(look)s
      limit 1
    ),
    %(last)s::pg_catalog.uuid
  ) as uid
), wanted as materialized (
  (
    select uid
    from only {schema}.job
    where %(uids)s::pg_catalog.uuid[] is null
      and uid > %(after)s::pg_catalog.uuid and uid <= (select uid from bound)
      and ({matches}) is true
    order by uid
    limit %(most)s
  )
  union all
  select uid
  from only {schema}.job
  where uid = any(%(uids)s::pg_catalog.uuid[]) and ({matches}) is true
), locked as materialized (
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
), unlogged as (
  delete from {schema}.log
  where job_uid = any(array(select uid from changed))
), unreported as (
  delete from {schema}.progress
  where job_uid = any(array(select uid from changed))
)
select
  case when %(dry)s then (select pg_catalog.count(*) from wanted) else (select pg_catalog.count(*) from changed) end,
  array(select uid from wanted where uid not in (select uid from changed)),
  case when (select pg_catalog.count(*) from wanted) >= %(most)s
    then (select uid from wanted order by uid desc limit 1)
    else (select uid from bound where uid < %(last)s::pg_catalog.uuid)
  end,
  case when %(notify)s and (not %(sparing)s or pg_catalog.pg_notification_queue_usage() < 0.5)
      and exists (select from changed)
      and exists (select from {schema}.waiter where until > pg_catalog.now())
    then pg_catalog.pg_notify(%(ended)s, '')
  end
