-- Cancel a pending job, or ask a running one to stop. Returns the job as it is then; nothing if it has ended or if there is none.
-- The process that runs it hears of it by the notification, or by find_cancel_asked.sql. If the job is asked to stop again, the
-- first time and the first reason stay.
--
-- The row decides under its lock: if a claim is first, the job is asked to stop; if this is first, the claim passes it by.
-- A job that is cancelled has ended: if somebody waits for jobs, the channel of the waits gets a notification. `is true`: see
-- settle_jobs.sql.
--
-- This and the other statements that change jobs are part of a transaction, which could not be committed if the server's queue of
-- notifications were full. So they send none while it is half full: insert_job.sql.
--
-- A job that is cancelled before it ran never reaches a process that would count it, so this statement does.
with changed as (
  update {schema}.job
  set status = case when status = 'pending' then 'cancelled' else status end,
      error = case when status = 'pending' then %(error)s::pg_catalog.text else error end,
      completed_at = case when status = 'pending' then pg_catalog.statement_timestamp() end,
      cancel_asked_at = case
        when status = 'running' then coalesce(cancel_asked_at, pg_catalog.statement_timestamp())
        else cancel_asked_at
      end,
      cancel_reason = case
        when status = 'running' and cancel_asked_at is null then %(reason)s::pg_catalog.text
        else cancel_reason
      end,
      updated_at = pg_catalog.statement_timestamp()
  where uid = %(uid)s::pg_catalog.uuid and (status in ('pending', 'running')) is true
  returning
    {job},
    case when %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5 then
      case
        when status = 'running' then pg_catalog.pg_notify(%(channel)s, 'cancel ' || uid)
        when exists (select from {schema}.waiter where until > pg_catalog.now()) then pg_catalog.pg_notify(%(ended)s, '')
      end
    end
), {count_cancelled}
select changed.*
from changed
