-- Register this process. The session of its heartbeat takes the lock of the process's row, so that other processes can notice
-- its death. The role's time limits, which are meant for requests, are lifted for this session. One statement does all of
-- this, so that no process sees the row before the lock is held. Behind a pooler, which may run every statement in a different
-- session, the lock is not taken and the limits stay. The process drew its id at random, so that no id is used twice, even
-- after rows were deleted.
-- `restricted`: whether missing rights or row level security may keep jobs from this role; check_access.sql says which.
with registered as (
  insert into {schema}.process (id, name, version, lease, info, locked)
  values (%(id)s, %(name)s, %(version)s, %(lease)s, %(info)s::pg_catalog.jsonb, pg_catalog.pg_backend_pid() = %(session)s)
  returning id, locked
)
select
  locked
    and (select pg_catalog.count(pg_catalog.set_config(name, '0', false)) > 0
         from pg_catalog.unnest(%(time_limits)s::pg_catalog.text[]) as limits (name)
         where pg_catalog.current_setting(name, true) is not null)
    and pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended(%(lock)s || id, 0)),
  extract(epoch from pg_catalog.pg_postmaster_start_time())::double precision,
  pg_catalog.row_security_active(%(job)s)
    or not pg_catalog.has_any_column_privilege(%(job)s, 'select') or not pg_catalog.has_any_column_privilege(%(job)s, 'update')
    or pg_catalog.row_security_active(%(attempt)s)
    or not pg_catalog.has_any_column_privilege(%(attempt)s, 'insert')
from registered
