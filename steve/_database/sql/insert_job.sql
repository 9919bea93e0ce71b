-- Store one job. Its uid was made before the first try. If the statement is sent again after a lost reply, it inserts nothing
-- and returns nothing, and find_inserted.sql tells what is stored. The notification is part of the statement, and is
-- delivered after the commit. With `sparing` it is left out while the server's queue of notifications is at least half full:
-- if the queue filled up, the caller's commit would fail. (On steve's own connections the job is then sent again without a
-- notification.)
insert into {schema}.job
  (uid, queue, type, priority, payload, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter, run_at)
values (
  %(uid)s::pg_catalog.uuid, %(queue)s, %(type)s, %(priority)s::smallint, %(payload)s::pg_catalog.jsonb, %(max_attempts)s::integer,
  %(backoff_strategy)s, %(backoff_base)s::real, %(backoff_max)s::real, %(backoff_jitter)s::real,
  greatest(%(run_at)s::pg_catalog.timestamptz, pg_catalog.clock_timestamp())
)
on conflict (uid) do nothing
returning
  created_at, updated_at, run_at,
  case when %(notify)s::boolean and (not %(sparing)s::boolean or pg_catalog.pg_notification_queue_usage() < 0.5)
    then pg_catalog.pg_notify(%(channel)s, '')
  end
