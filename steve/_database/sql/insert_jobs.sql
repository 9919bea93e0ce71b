-- Store many jobs, all or none. For each row a COPY takes half the time of an INSERT. It returns nothing, so the time of
-- creation is fetched before it (read_clock.sql). If it is sent again after a lost reply, PostgreSQL refuses it because of the
-- uids, and find_inserted.sql tells what is stored. The notification is a separate statement after this one: notify.sql.
copy {schema}.job (
  uid, payload, queue, type, priority, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter,
  run_at, created_at, updated_at
) from stdin (encoding 'UTF8')
