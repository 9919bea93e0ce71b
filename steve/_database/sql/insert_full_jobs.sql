-- As insert_jobs.sql, with the columns that few jobs have. Jobs with a key are not among them, because COPY knows no
-- `on conflict`: insert_unique_jobs.sql stores those.
copy {schema}.job (
  uid, payload, queue, type, priority, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter,
  run_at, created_at, updated_at, tags, metadata, timeout, expires_at
) from stdin (encoding 'UTF8')
