-- Look at the next `most` jobs above the uid `after` (null: at the first), and delete those that ended so long ago as `ages` says
-- for their statuses and are of `type` and have all of `tags` (null: any), with all that their attempts have left. Returns how many
-- were deleted, the last uid looked at (null: there is none above), and whether that job was created too lately to be old enough.
-- Each statement is a transaction of its own.
--
-- There is no index on the time when jobs ended, because it would cost every job three insertions. So a prune goes through
-- the primary key, statement by statement: it passes over the table once, however much of it is old.
-- It locks only jobs that have ended, which no claim and no settlement needs. SKIP LOCKED lets several prunes run at once,
-- and skips jobs that somebody is changing by hand. A job that was changed meanwhile is checked again under the lock.
-- `only` leaves out child tables by inheritance, which the owner may use as an archive.
-- What attempts have left is deleted by the key of the job, as many look-ups as jobs: no more than the log of attempts costs, and
-- a thousandth of a millisecond each where nothing was left. A foreign key would cost more, and that for each insertion, too.
-- The ages are compared, not the times: now() minus a very long older_than would be out of range.
with looked_at as materialized (
  select uid, created_at, (
    status in ('completed', 'failed', 'cancelled')
    and pg_catalog.now() - completed_at >= (%(ages)s::interval[])[pg_catalog.array_position(%(statuses)s::pg_catalog.text[], status)]
    and (%(type)s::pg_catalog.text is null or type = %(type)s::pg_catalog.text)
    and (%(tags)s::pg_catalog.jsonb is null or tags @> %(tags)s::pg_catalog.jsonb)
  ) is true as old
  from only {schema}.job
  where (%(after)s::pg_catalog.uuid is null or uid > %(after)s::pg_catalog.uuid)
  order by uid
  limit %(most)s
), found as materialized (
  select uid
  from only {schema}.job
  -- any(array(...)), not a join, which the planner might turn into a scan of the table
  where uid = any(array(select uid from looked_at where old)) and (
    status in ('completed', 'failed', 'cancelled')
    and pg_catalog.now() - completed_at >= (%(ages)s::interval[])[pg_catalog.array_position(%(statuses)s::pg_catalog.text[], status)]
    and (%(type)s::pg_catalog.text is null or type = %(type)s::pg_catalog.text)
    and (%(tags)s::pg_catalog.jsonb is null or tags @> %(tags)s::pg_catalog.jsonb)
  ) is true
  for update skip locked
), pruned as (
  delete from only {schema}.job
  where uid = any(array(select uid from found))
  returning uid
), forgotten as (
  delete from {schema}.attempt
  where job_uid = any(array(select uid from pruned))
), unlogged as (
  delete from {schema}.log
  where job_uid = any(array(select uid from pruned))
), unreported as (
  delete from {schema}.progress
  where job_uid = any(array(select uid from pruned))
), last as (
  select uid, created_at
  from looked_at
  order by uid desc
  limit 1
)
select
  (select pg_catalog.count(*) from pruned),
  (select uid from last),
  coalesce((select pg_catalog.now() - created_at < %(youngest)s::interval from last), false)
