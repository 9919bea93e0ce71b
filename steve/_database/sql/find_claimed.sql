-- The jobs that this process holds by claims whose reply was lost. It is used only after a reply was lost. All jobs of a
-- claim have the same claimed_at, and `answered` lists, in order, the claimed_at of the latest claims that were answered.
-- It reads the index job_claimed, which only this statement, rescue_jobs.sql and review_claims.sql may use.
select
  uid, queue, type, priority, payload::pg_catalog.text, error, attempts, crashes, max_attempts,
  backoff_strategy, backoff_base, backoff_max, backoff_jitter, lease_no, claimed_at, created_at, run_at, started_at,
  {extras}
from {schema}.job
where status = 'running' and process_id = %(process_id)s
  and claimed_at <> all(%(answered)s::pg_catalog.timestamptz[])
  and claimed_at > coalesce((%(answered)s::pg_catalog.timestamptz[])[1], '-infinity')
