-- Store many jobs, all or none: a COPY takes half the time of an INSERT for each row. It returns nothing, so what the rows get
-- is known before (reserve_ids.sql). Sent again after a lost reply it is refused, by the uids, and find_inserted.sql tells what
-- is there. The notification is a statement of its own, after it: notify.sql.
copy {schema}.job (
  id, uid, payload, queue, type, priority, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter,
  run_at, created_at, updated_at
) from stdin (encoding 'UTF8')
