-- As insert_job.sql, for a job that has any of the options that few jobs have. It inserts nothing and returns nothing if it is
-- sent again (find_inserted.sql), and also if a job with this key has not ended: then find_holder.sql tells which, in a new
-- statement. A `union all` with that look would often find no job, since it would look with the snapshot of before the wait for
-- the other transaction.
insert into {schema}.job (
  uid, queue, type, priority, payload, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter, run_at,
  unique_key, tags, metadata, timeout, expires_at
)
values (
  %(uid)s::pg_catalog.uuid, %(queue)s, %(type)s, %(priority)s::smallint, %(payload)s::pg_catalog.jsonb, %(max_attempts)s::integer,
  %(backoff_strategy)s, %(backoff_base)s::real, %(backoff_max)s::real, %(backoff_jitter)s::real,
  greatest(
    %(run_at)s::pg_catalog.timestamptz,
    pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => %(delay)s::double precision),
    pg_catalog.clock_timestamp()
  ),
  %(unique)s, %(tags)s::pg_catalog.jsonb, %(metadata)s::pg_catalog.jsonb, %(timeout)s::double precision,
  coalesce(
    %(expires_at)s::pg_catalog.timestamptz,
    pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => %(expires_in)s::double precision)
  )
)
on conflict do nothing
returning
  created_at, updated_at, run_at, expires_at,
  case when %(notify)s::boolean and (not %(sparing)s::boolean or pg_catalog.pg_notification_queue_usage() < 0.5)
    then pg_catalog.pg_notify(%(channel)s, '')
  end
