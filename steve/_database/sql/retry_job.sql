-- Make a job pending again that failed, was cancelled or, with `completed`, was completed. Returns it as it is then; nothing if it
-- has another status or if there is none. Raises 23505 if another job has its unique key now.
--
-- The failures so far are forgiven, so that max_attempts stays what was promised and the backoff begins anew. Crashes stay: a
-- job that failed because of them is on its last chance, and runs alone.
--
-- The row of a job that was completed at its first attempt stands for that attempt (settle_jobs.sql), so the attempt is written
-- into the log first. If the log has a row under the same lease, it was left from another life of the job (forget_attempt.sql),
-- and is deleted. The count makes the insertion wait for that. `on conflict`: somebody may write such a row by hand meanwhile.
with found as materialized (
  select uid, lease_no, attempts, process, started_at, completed_at
  from {schema}.job
  where uid = %(uid)s and (status in ('failed', 'cancelled') or (%(completed)s and status = 'completed')) is true
  for no key update
), left_over as (
  delete from {schema}.attempt
  using found
  where found.process is not null
    and attempt.job_uid = any(array[found.uid]) and attempt.lease_no = found.lease_no
  returning 1
), logged as (
  insert into {schema}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status)
  select uid, lease_no, attempts, process, started_at, completed_at, 'success'
  from found
  where process is not null and (select pg_catalog.count(*) from left_over) >= 0
  on conflict (job_uid, lease_no) do nothing
)
update {schema}.job
set status = 'pending',
    result = null,
    process = null,
    claimed_at = null,
    completed_at = null,
    run_at = pg_catalog.statement_timestamp(),
    updated_at = pg_catalog.statement_timestamp(),
    expires_at = null,
    cancel_asked_at = null,
    cancel_reason = null,
    forgiven = nullif(attempts - crashes, 0),
    granted = %(attempts)s
where uid = any(array(select uid from found))
returning
  {job},
  case when %(notify)s and (not %(sparing)s or pg_catalog.pg_notification_queue_usage() < 0.5)
    then pg_catalog.pg_notify(%(channel)s, '')
  end
