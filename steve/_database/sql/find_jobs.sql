-- The jobs with these uids.
select
  uid, queue, type, priority, payload::pg_catalog.text, result::pg_catalog.text, error, status, attempts, crashes,
  max_attempts, backoff_strategy, created_at, updated_at, run_at, claimed_at, started_at, completed_at,
  unique_key, tags::pg_catalog.text, metadata::pg_catalog.text, timeout, expires_at, cancel_asked_at
from {schema}.job
where uid = any(%(uids)s::pg_catalog.uuid[])
