-- Cancel many jobs: a batch of those that match (BATCH in fragments.py). Pending jobs are cancelled, and running ones are asked to
-- stop, as in cancel_job.sql.
--
-- Returns how many, which ones it passed by because others had them locked or have just changed them, which ones were
-- cancelled (with `told`), and where the next batch goes on; null: there are no more. With `dry` nothing is changed, and the
-- number is that of the jobs that match.
--
-- SKIP LOCKED: a settlement and this statement lock many rows each, in different orders. If both waited, PostgreSQL would
-- break off one of them. A job that was changed meanwhile is checked again under the lock. `only`, and by place: see
-- claim_jobs.sql. any(array(...)), not a join, which the planner might turn into a scan of the table. One notification names up
-- to 200 jobs, since it may have 8,000 bytes. If jobs have ended and somebody waits for jobs, the channel of the waits gets one,
-- too. What was cancelled is counted, as in cancel_job.sql.
with {batch}, locked as materialized (
  select ctid as place, uid
  from only {schema}.job
  where uid = any(array(select uid from wanted)) and ({matches}) is true and not %(dry)s::boolean
  for no key update skip locked
), changed as (
  update only {schema}.job
  set status = case when status = 'pending' then 'cancelled' else status end,
      error = case when status = 'pending' then %(text)s::pg_catalog.text else error end,
      completed_at = case when status = 'pending' then pg_catalog.statement_timestamp() end,
      cancel_asked_at = case when status = 'running' then coalesce(cancel_asked_at, pg_catalog.statement_timestamp()) else cancel_asked_at end,
      cancel_reason = case
        when status = 'running' and cancel_asked_at is null then %(reason)s::pg_catalog.text
        else cancel_reason
      end,
      updated_at = pg_catalog.statement_timestamp()
  where ctid = any(array(select place from locked))
  returning uid, status, queue, type
), {count_cancelled}, asked as (
  select 'cancel ' || pg_catalog.string_agg(uid::pg_catalog.text, ' ') as payload
  from (select uid, pg_catalog.row_number() over () / 200 as part from changed where status = 'running') as numbered
  group by part
)
select
  case when %(dry)s::boolean then (select pg_catalog.count(*) from wanted) else (select pg_catalog.count(*) from changed) end as done,
  array(select uid from wanted where uid not in (select uid from changed)) as passed,
  case when %(told)s::boolean then array(select uid from changed where status = 'cancelled') end as cancelled,
  {next} as last,
  case when %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
    then (select pg_catalog.count(case when pg_catalog.pg_notify(%(channel)s, payload) is null then 1 end) from asked)
  end,
  case when %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
      and exists (select from changed where status = 'cancelled')
      and exists (select from {schema}.waiter where until > pg_catalog.now())
    then pg_catalog.pg_notify(%(ended)s, '')
  end
