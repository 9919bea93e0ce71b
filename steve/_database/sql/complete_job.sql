-- Complete a job in the transaction of its own handler, which calls `run.complete()`. It writes what settle_jobs.sql writes about
-- a success: the job's row, which stands for a first attempt, or else a row in the log. So find_settled.sql recognises it as the
-- completion of this very claim. The times are those of this statement, as the commit is still to come.
--
-- Returns a row if the job was held under this claim. The fence is that of settle_jobs.sql.
--
-- With `tell`, since somebody waits for jobs to end, the commit sends a notification that names this one, unless the server's
-- queue of notifications is at least half full: the commit of a handler must not fail because of it.
--
-- A row in the log under the same lease was left from another life of the job (forget_attempt.sql), and is deleted. The count
-- makes the insertion wait for that.
with completed as (
  update {schema}.job
  set status = 'completed',
      result = %(result)s::pg_catalog.jsonb,
      error = null,
      process_id = null,
      started_at = coalesce(started_at, pg_catalog.statement_timestamp() - %(begun_ago)s::bigint * interval '1 microsecond'),
      completed_at = pg_catalog.statement_timestamp(),
      process = case when started_at is null then %(process)s::pg_catalog.text end,
      updated_at = pg_catalog.statement_timestamp()
  where uid = %(uid)s::pg_catalog.uuid
    and lease_no = %(lease_no)s::bigint
    and (status = 'running') is true
    and claimed_at = %(claimed_at)s::pg_catalog.timestamptz
  returning uid, lease_no, attempts, process, updated_at
), left_over as (
  delete from {schema}.attempt
  using completed
  where completed.process is null
    and attempt.job_uid = any(array[completed.uid]) and attempt.lease_no = completed.lease_no
  returning 1
), logged as (
  insert into {schema}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status)
  select
    uid, lease_no, attempts, %(process)s, updated_at - %(begun_ago)s::bigint * interval '1 microsecond', updated_at, 'success'
  from completed
  where process is null and (select pg_catalog.count(*) from left_over) >= 0
)
select
  uid,
  case when %(tell)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
    then pg_catalog.pg_notify(%(ended)s::pg_catalog.text, uid::pg_catalog.text)
  end
from completed
