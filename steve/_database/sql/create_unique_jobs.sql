-- Store jobs of which some have keys, all in one statement, on a connection where each statement is a round trip of another
-- driver's. It does what insert_unique_jobs.sql, replace_jobs.sql and find_unique.sql do one after the other; see there. Nothing
-- is sent again on a caller's connection, so no row of `replacement` is needed.
--
-- `kind`: `stored`, a new job; `changed`, the job that had the key and has become the new one; `open`, the job that has the key
-- and has not ended; `window`, the job whose window is not over, or its uid if it was deleted. If `on_conflict` is `raise` and
-- the key is taken, the caller undoes what is stored. A job for which no row comes back met another one that was created at this
-- very moment: the caller looks again.
--
-- Each `= any(array(...))` keeps a plan that was made while the table was small from reading all of a large one, and `is true` keeps
-- the planner from the partial indexes of pending and running jobs.
with {given_json}, taken as materialized (
  select new_uid as asked, 'open' as kind, job.uid as held
  from given
  join {schema}.job on unique_key = new_key
  where unique_key = any(array(select new_key from given)) and status not in ('completed', 'failed', 'cancelled')
    and new_conflict <> 'replace'
  union all
  select new_uid, 'window', unique_window.uid
  from given
  join {schema}.unique_window on key = new_key and until > pg_catalog.clock_timestamp()
  where new_window is not null
), held as materialized (
  select job.uid as held_uid, status as held_status, run_at as held_run_at, given.*
  from given
  join {schema}.job on unique_key = new_key
  where unique_key = any(array(select new_key from given)) and status not in ('completed', 'failed', 'cancelled')
    and new_conflict = 'replace'
  order by unique_key
  for no key update of job
), changed as (
  update {schema}.job
  set queue = new_queue,
      type = new_type,
      priority = new_priority,
      payload = new_payload::pg_catalog.jsonb,
      max_attempts = new_max_attempts,
      backoff_strategy = new_strategy,
      backoff_base = new_base,
      backoff_max = new_max,
      backoff_jitter = new_jitter,
      run_at = {new_run_at},
      tags = new_tags::pg_catalog.jsonb,
      metadata = new_metadata::pg_catalog.jsonb,
      timeout = new_timeout,
      expires_at = {new_expiry},
      replaced_by = new_uid,
      updated_at = pg_catalog.clock_timestamp()
  from held
  where uid = any(array(select held_uid from held)) and uid = held_uid and held_status = 'pending' and (status = 'pending') is true
  returning
    new_uid as asked,
    run_at < held_run_at as is_earlier,
    (select pg_catalog.row_to_json(answer)::pg_catalog.text from (select {job}) as answer) as found
), freed as (
  update {schema}.job
  set unique_key = null
  from held
  where uid = any(array(select held_uid from held)) and uid = held_uid and held_status = 'running' and (status = 'running') is true
  returning {new}
), moved as (
  insert into {schema}.unique_window (key, until, uid)
  select new_key, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => new_window), new_uid
  from freed
  where new_window is not null
  on conflict (key) do update
  set until = excluded.until, uid = excluded.uid
), made as (
  {insert}
  from freed
  returning uid, created_at, updated_at, run_at, expires_at
), opened as (
  insert into {schema}.unique_window as opened (key, until, uid)
  select new_key, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => new_window), new_uid
  from given
  where new_window is not null
    and new_uid not in (select new_uid from held)
    and new_uid not in (select asked from taken)
  order by new_key collate "C"
  on conflict (key) do update
  set until = excluded.until, uid = excluded.uid
  where opened.until <= pg_catalog.clock_timestamp()
  returning key
), inserted as (
  {insert}
  from given
  where new_uid not in (select new_uid from held) and (new_window is null or new_key in (select key from opened))
  order by new_key collate "C"
  on conflict do nothing
  returning uid, created_at, updated_at, run_at, expires_at
), stored as (
  select * from made
  union all
  select * from inserted
), answered as (
  select
    uid as asked, 'stored' as kind, uid as held, true as is_earlier,
    pg_catalog.json_build_object(
      'created_at', created_at, 'updated_at', updated_at, 'run_at', run_at, 'expires_at', expires_at
    )::pg_catalog.text as found
  from stored
  union all
  select asked, 'changed', null, is_earlier, found
  from changed
  union all
  select
    asked, kind, held, false,
    (select pg_catalog.row_to_json(answer)::pg_catalog.text from (select {job} from {schema}.job where uid = held) as answer)
  from taken
  where asked not in (select uid from stored) and asked not in (select asked from changed)
), notified as materialized (
  select pg_catalog.pg_notify(%(channel)s, '')
  where %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
    and exists (select from answered where is_earlier)
)
select asked, kind, held, found
from answered
where (select pg_catalog.count(*) from notified) >= 0
order by kind
