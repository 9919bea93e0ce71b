-- Give the jobs that hold the keys of these new jobs what the new ones would have had: a pending job is changed; a running one
-- loses its key, and the new job is stored beside it and takes over the window, if it has one. A job that ends while this waits
-- for its row is left alone: then the key is free, and the new job can be inserted.
--
-- If the reply is lost and the statement is sent again, it must not undo what others did meanwhile: a row of `replacement`
-- names each create that has changed a job, and its key makes the second statement fail with 23505. A new job that was stored
-- is the holder of its key now, or has lost it, and its uid is taken.
--
-- `is true` keeps the planner from the partial indexes of pending and running jobs.
with {given}, held as materialized (
  select job.uid as held_uid, status as held_status, run_at as held_run_at, given.*
  from given
  join {schema}.job on unique_key = new_key and status not in ('completed', 'failed', 'cancelled')
  where not exists (select from {schema}.job as made where made.uid = new_uid)
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
  where uid = held_uid and held_status = 'pending' and (status = 'pending') is true
  returning new_uid as asked, true as is_there, run_at < held_run_at as is_earlier, {job}
), noted as (
  insert into {schema}.replacement (uid, job_uid, until)
  select asked, uid, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => %(keep)s::double precision)
  from changed
), freed as (
  update {schema}.job
  set unique_key = null
  from held
  where uid = held_uid and held_status = 'running' and (status = 'running') is true
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
  returning uid as asked, false as is_there, true as is_earlier, {job}
), stored as (
  select * from changed
  union all
  select * from made
)
select
  asked, is_there, {job},
  case when is_earlier and %(notify)s::boolean and (not %(sparing)s::boolean or pg_catalog.pg_notification_queue_usage() < 0.5)
    then pg_catalog.pg_notify(%(channel)s, '')
  end
from stored as job
