-- Store many jobs, all or none: a COPY takes half the time of an INSERT for each row. It returns nothing, so the ids and times
-- of the rows are fetched before it (reserve_ids.sql). Sent again after a lost reply, it is refused because of the uids, and
-- find_inserted.sql tells what is stored. The notification is a statement of its own, after this one: notify.sql.
copy {schema}.job (
  id, uid, payload, queue, type, priority, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter,
  run_at, created_at, updated_at
) from stdin (encoding 'UTF8')
