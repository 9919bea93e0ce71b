-- This process lives, and looks at all processes: one statement on the heartbeat's connection, which waits for nobody but a
-- rescue of this very process. With `beat` false it only looks.
--
-- The heartbeat's session holds the advisory lock of its row, from the first beat on: whoever gets that lock knows that the
-- session is gone. Where it cannot be had (a pooler gives every statement another session; an earlier session of ours, its
-- connection lost, is not gone yet) the row says so, and the lease alone counts. A row that is gone is inserted again under
-- its id: it was taken for dead, or somebody has deleted it.
--
-- The rows are shown as they were before this statement, the own one too: it tells whether others took this process for dead.
-- The other's locks are let go at its end.
with mine as materialized (
  select case
    when %(locked)s then true
    when pg_backend_pid() = %(session)s then
      set_config('idle_session_timeout', '0', false) = '0'  -- as in register_process.sql
      and pg_try_advisory_lock(hashtextextended(%(lock)s || %(id)s, 0))
    else false
  end as locked
), beaten as (
  update {schema}.process
  set heartbeat_at = now(), suspected_at = null, locked = mine.locked, name = %(name)s, lease = %(lease)s
  from mine
  where %(beat)s and id = %(id)s
  returning id
), inserted as (
  insert into {schema}.process (id, name, version, locked, lease)
  overriding system value
  select %(id)s, %(name)s, %(version)s, mine.locked, %(lease)s
  from mine
  where %(beat)s and not exists (select from beaten)
  on conflict (id) do nothing
)
select
  id, name, lease::float8,
  extract(epoch from now() - heartbeat_at)::float8 as silent,
  extract(epoch from now() - suspected_at)::float8 as suspected,
  extract(epoch from heartbeat_at)::float8 as heartbeat_at,
  id <> %(id)s and locked and pg_try_advisory_xact_lock(hashtextextended(%(lock)s || id, 0)) as lock_is_free,
  locked as was_locked,
  extract(epoch from now() - pg_postmaster_start_time())::float8 as server_up,
  extract(epoch from pg_postmaster_start_time())::float8 as server_started,
  %(beat)s and (select locked from mine) as locked
from {schema}.process
