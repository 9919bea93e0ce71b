-- Write what became of a group of attempts: the job's row and, for attempts that count, a row in the log.
-- Returns the verdicts whose jobs were still held under the lease named, since listeners may hear only of those. With `times`
-- it also returns the times, which are for the listeners.
--
-- The fence is (uid, lease_no) and the status `running`. A job that was rescued meanwhile has a higher lease_no and does not
-- match. Then nothing is written, not even a row in the log, because the log is inserted from what the UPDATE returned, not
-- from the verdicts. The time of the claim belongs to the fence, too: if a standby is promoted before it has received all
-- changes, it gives some lease_nos out again.
--
-- `(status = 'running') is true`, because with `status = 'running'` the planner might use the partial index of running jobs,
-- and read all of it. `uid = any(array[...])`, because with `uid = ...` it might choose a merge join, which reads all of job in
-- the order of its key. It does so if the statistics say that job has one row or none, and keeps the plan when the table has
-- grown. With this form it can only look up each job.
--
-- A first attempt that succeeds gets no row in the log, which saves most jobs an insertion: the job's own row has the times of
-- the attempt and, in `process`, the name of the process. `started_at` tells whether an attempt is the first: an earlier one, a
-- snooze and a crash set it; to give a job back that was not begun does not.
--
-- An attempt that does not count (attempt_status is null) is subtracted from `attempts` and leaves no row in the log. It
-- raises lease_no instead, because `attempts`, which falls, is no fence. A snoozed job is due after its delay. If its handler
-- said why, that is its error; otherwise the error stays as it is. A job that was not begun and is given back (delay is null)
-- is due as before, and the notification `back` tells every process to look for it. An empty notification says that a retry
-- or a snoozed job is due at once.
--
-- Somebody may have asked to cancel the job since it was claimed: then cancel_asked_at is set in the row. A job that completed
-- all the same has completed. Every other outcome becomes `cancelled`, with a row in the log, also if the job was snoozed or
-- not begun: that row proves the settlement if its reply is lost. Then `cancelled` is the job's error, and the times
-- come along whatever `times` says. Verdict.cancelled() in steve/_model/outcome.py says the same.
--
-- {tell}: where somebody waits for jobs to end, a notification on the channel of the waits. Elsewhere it is empty.
--
-- The arrays of errors, their details and their types are empty if no verdict has an error: unnest() then gives nulls.
with verdict as materialized (
  select *
  from unnest(
    %(uids)s::pg_catalog.uuid[], %(lease_nos)s::bigint[], %(statuses)s::pg_catalog.text[], %(results)s::pg_catalog.jsonb[],
    %(errors)s::pg_catalog.text[], %(delays)s::double precision[], %(begun_agos)s::bigint[],
    %(attempt_statuses)s::pg_catalog.text[], %(error_details)s::pg_catalog.text[], %(error_types)s::pg_catalog.text[],
    %(claims)s::smallint[]
  ) with ordinality as t (
    uid, lease_no, status, result, error, delay, begun_ago, attempt_status, error_details, error_type, claim, place
  )
), settled as (
  update {schema}.job
  set status = case
        when job.cancel_asked_at is not null and verdict.status in ('pending', 'failed') then 'cancelled'
        else verdict.status
      end,
      result = verdict.result,
      error = case
        when job.cancel_asked_at is not null and verdict.status in ('pending', 'failed')
        then pg_catalog.concat_ws(': ', 'Cancelled', job.cancel_reason)
        when verdict.attempt_status is null then coalesce(verdict.error, job.error)
        else verdict.error
      end,
      attempts = job.attempts - (verdict.attempt_status is null and job.cancel_asked_at is null)::integer,
      lease_no = job.lease_no + (verdict.attempt_status is null and job.cancel_asked_at is null)::integer,
      process_id = null,
      claimed_at = case when verdict.status = 'pending' and job.cancel_asked_at is null then null else job.claimed_at end,
      run_at = case
        when verdict.status = 'pending' and job.cancel_asked_at is null
        then coalesce(pg_catalog.now() + verdict.delay * interval '1 second', job.run_at)
        else job.run_at
      end,
      started_at = coalesce(job.started_at, pg_catalog.now() - verdict.begun_ago * interval '1 microsecond'),
      completed_at = case
        when verdict.status = 'pending' and job.cancel_asked_at is null then null
        else pg_catalog.now()
      end,
      process = case
        when verdict.attempt_status = 'success' and job.started_at is null then %(process)s::pg_catalog.text
      end,
      updated_at = pg_catalog.now()
  from verdict
  where job.uid = any(array[verdict.uid])
    and job.lease_no = verdict.lease_no
    and (job.status = 'running') is true
    and job.claimed_at = (%(claimed_ats)s::pg_catalog.timestamptz[])[verdict.claim]
  returning
    verdict.place, job.uid, verdict.lease_no, job.attempts, job.run_at, job.started_at, job.updated_at, job.completed_at,
    job.process,
    coalesce(job.updated_at - verdict.begun_ago * interval '1 microsecond', job.claimed_at, job.updated_at) as begun_at,
    verdict.attempt_status, verdict.error, verdict.error_details, verdict.error_type,
    case when job.cancel_asked_at is not null and verdict.status in ('pending', 'failed') then job.error end as cancelled
), logged as (
  insert into {schema}.attempt (
    job_uid, lease_no, number, process, started_at, completed_at, status, error_message, error_details, error_type
  )
  select
    uid, lease_no, attempts, %(process)s, begun_at, updated_at,
    case when cancelled is null then attempt_status else 'cancelled' end,
    coalesce(cancelled, error),
    case when cancelled is null then error_details else coalesce(error_details, error) end,
    case when cancelled is null then error_type else 'steve.Cancelled' end
  from settled
  where (attempt_status is not null or cancelled is not null) and process is null
)
select
  place,
  case when %(times)s or cancelled is not null then run_at end,
  case when %(times)s or cancelled is not null then started_at end,
  case when %(times)s or cancelled is not null then updated_at end,
  case when %(times)s or cancelled is not null then completed_at end,
  case when %(times)s or cancelled is not null then begun_at end,
  cancelled,
  (select pg_catalog.pg_notify(%(channel)s, %(hint)s::pg_catalog.text) where %(hint)s::pg_catalog.text is not null){tell}
from settled
