-- What this process holds since an instant: after a claim whose reply was lost, and only then, the jobs that it took.
-- By job_claimed, which only this and the rescue may use.
select
  id, uid, queue, type, priority, payload::text, error, attempts, crashes, max_attempts,
  backoff_strategy, backoff_base, backoff_max, backoff_jitter, lease_no, claimed_at, created_at, run_at, started_at
from {schema}.job
where status = 'running' and process_id = %(process_id)s and claimed_at > coalesce(%(since)s::timestamptz, '-infinity')
