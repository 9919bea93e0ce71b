-- Store many jobs, all or none. For each row a COPY takes half the time of an INSERT. It returns nothing, so the ids and
-- times of the rows are fetched before it (reserve_ids.sql). If it is sent again after a lost reply, PostgreSQL refuses it
-- because of the uids, and find_inserted.sql tells what is stored. The notification is a separate statement after this one:
-- notify.sql.
copy {schema}.job (
  id, uid, payload, queue, type, priority, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter,
  run_at, created_at, updated_at
) from stdin (encoding 'UTF8')
