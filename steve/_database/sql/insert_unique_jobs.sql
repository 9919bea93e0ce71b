-- Store many jobs that have keys, or one whose key has a window. A job is left out, and not returned, if it is sent again, or
-- if its key is taken: then find_unique.sql tells by what, in a new statement. All rows are inserted in the order of their
-- keys, so that two such statements wait for each other in one direction only.
--
-- A window is opened together with its job, unless one is open. The update of a window that is over waits for another create
-- of the same key, and then finds its window open. The two looks before it spare that in most cases: an `on conflict do update`
-- locks the row even if its condition does not hold, to the end of the caller's transaction. If a job without a window takes
-- the key at this very moment, the window is opened and no job is inserted: close_windows.sql.
with given as materialized (
  select *
  from unnest(
    %(uids)s::pg_catalog.uuid[], %(payloads)s::pg_catalog.text[], %(queues)s::pg_catalog.text[], %(types)s::pg_catalog.text[],
    %(priorities)s::smallint[], %(max_attempts)s::integer[], %(strategies)s::pg_catalog.text[], %(bases)s::real[],
    %(maxes)s::real[], %(jitters)s::real[], %(run_ats)s::pg_catalog.timestamptz[], %(delays)s::double precision[],
    %(keys)s::pg_catalog.text[], %(windows)s::double precision[], %(tags)s::pg_catalog.text[], %(metadata)s::pg_catalog.text[],
    %(timeouts)s::double precision[], %(expires_ats)s::pg_catalog.timestamptz[], %(expires_ins)s::double precision[]
  ) as given (
    new_uid, new_payload, new_queue, new_type, new_priority, new_max_attempts, new_strategy, new_base, new_max, new_jitter,
    new_run_at, new_delay, new_key, new_window, new_tags, new_metadata, new_timeout, new_expires_at, new_expires_in
  )
), opened as (
  insert into {schema}.unique_window as opened (key, until, uid)
  select new_key, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => new_window), new_uid
  from given
  where new_window is not null
    and not exists (select from {schema}.job where uid = new_uid)
    and not exists (
      select from {schema}.job where unique_key = new_key and status not in ('completed', 'failed', 'cancelled')
    )
    and not exists (select from {schema}.unique_window where key = new_key and until > pg_catalog.clock_timestamp())
  order by new_key collate "C"
  on conflict (key) do update
  set until = excluded.until, uid = excluded.uid
  where opened.until <= pg_catalog.clock_timestamp()
  returning key
)
insert into {schema}.job (
  uid, queue, type, priority, payload, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter, run_at,
  unique_key, tags, metadata, timeout, expires_at
)
select
  new_uid, new_queue, new_type, new_priority, new_payload::pg_catalog.jsonb, new_max_attempts,
  new_strategy, new_base, new_max, new_jitter,
  greatest(
    new_run_at,
    pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => new_delay),
    pg_catalog.clock_timestamp()
  ),
  new_key, new_tags::pg_catalog.jsonb, new_metadata::pg_catalog.jsonb, new_timeout,
  coalesce(new_expires_at, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => new_expires_in))
from given
where new_window is null or new_key in (select key from opened)
order by new_key collate "C"
on conflict do nothing
returning
  uid, created_at, updated_at, run_at, expires_at,
  case when %(notify)s and (not %(sparing)s or pg_catalog.pg_notification_queue_usage() < 0.5)
    then pg_catalog.pg_notify(%(channel)s, '')
  end
