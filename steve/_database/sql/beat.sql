-- Write this process's heartbeat and read its own row and those of its neighbours, in one statement on the heartbeat's
-- connection. The statement waits for nothing except a rescue of this very process. If `beat` is false, it only reads.
--
-- The processes form a ring in the order of their ids, which are drawn at random. Each looks at the next `most` processes in
-- it. So the cost of a look does not grow with the number of processes, and each process has as many that look at it.
--
-- The heartbeat's session holds the advisory lock of its process's row. A process that gets the lock of another one knows
-- that this session is gone. Some sessions cannot have the lock: behind a pooler every statement may run in a different
-- session; and after a lost connection the earlier session may still hold it. Then `locked` in the row is false, and the lease
-- alone counts. If the row is gone, because the process was taken for dead or somebody deleted the row, it is inserted again
-- under the same id.
--
-- The rows are returned as they were before this statement. This process's own row thus tells whether others took it for
-- dead. Times are returned unchanged, and the caller compares them with those it saw earlier: how long a process has been
-- silent must not depend on the server's clock, which may be set forward. The other processes' locks are released at the end
-- of the statement. With a beat, `restricted` tells whether missing rights or row level security may keep jobs from this
-- role; check_access.sql says which. `awaited`: for how many seconds more somebody waits for jobs to end, in case the notification
-- about that was lost; null or negative: nobody does. `pauses`: what is paused, as JSON: the queue, the type, and the seconds that
-- are left. `info`: what the process says of itself; null: nothing new.
with mine as materialized (
  select case
    when %(locked)s then true
    when pg_catalog.pg_backend_pid() = %(session)s then
      -- lift the role's time limits, which are meant for requests, as register_process.sql does
      (select pg_catalog.count(pg_catalog.set_config(name, '0', false)) > 0
       from pg_catalog.unnest(%(time_limits)s::pg_catalog.text[]) as limits (name)
       where pg_catalog.current_setting(name, true) is not null)
      and pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended(%(lock)s || %(id)s, 0))
    else false
  end as locked
), beaten as (
  update {schema}.process
  set heartbeat_at = pg_catalog.now(), suspected_at = null, locked = mine.locked, name = %(name)s, lease = %(lease)s,
    info = coalesce(%(info)s::pg_catalog.jsonb, info)
  from mine
  where %(beat)s and id = %(id)s
  returning id
), inserted as (
  insert into {schema}.process (id, name, version, locked, lease, info)
  select %(id)s, %(name)s, %(version)s, mine.locked, %(lease)s, %(info)s
  from mine
  where %(beat)s and not exists (select from beaten)
  on conflict (id) do nothing
), next as materialized (
  select id, name, lease, heartbeat_at, suspected_at, locked
  from {schema}.process
  where id > %(id)s
  order by id
  limit %(most)s
)
select
  id, name, lease::double precision,
  extract(epoch from heartbeat_at)::double precision as heartbeat_at,
  extract(epoch from suspected_at)::double precision as suspected_at,
  id <> %(id)s and locked
    and pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(%(lock)s || id, 0)) as lock_is_free,
  locked as was_locked,
  extract(epoch from pg_catalog.now())::double precision as seen_at,
  extract(epoch from pg_catalog.pg_postmaster_start_time())::double precision as server_started,
  %(beat)s and (select locked from mine) as locked,
  (select case when %(beat)s then  -- a sub-select, so that it is found out once and not for each row
    pg_catalog.row_security_active(%(job)s)
    or not pg_catalog.has_any_column_privilege(%(job)s, 'select') or not pg_catalog.has_any_column_privilege(%(job)s, 'update')
    or pg_catalog.row_security_active(%(attempt)s)
    or not pg_catalog.has_any_column_privilege(%(attempt)s, 'insert')
  end) as restricted,
  (select extract(epoch from pg_catalog.max(until) - pg_catalog.now())::double precision from {schema}.waiter) as awaited,
  (select pg_catalog.json_agg(pg_catalog.json_build_array(
     queue, type, extract(epoch from until - pg_catalog.now())::double precision
   ))::pg_catalog.text
   from {schema}.pause
   where until is null or until > pg_catalog.now()) as pauses
from (
  select id, name, lease, heartbeat_at, suspected_at, locked
  from {schema}.process
  where id = %(id)s
  union all
  select *
  from next
  union all
  (
    select id, name, lease, heartbeat_at, suspected_at, locked
    from {schema}.process
    where id < %(id)s
    order by id
    limit %(most)s - (select pg_catalog.count(*) from next)
  )
) as process
