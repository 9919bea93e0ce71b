-- This process begins to work, and its heartbeat's session takes the lock of its row, so that its death is noticed from now on.
-- A role's time limit for idle sessions is lifted from this one. In one statement: nobody sees the row before the lock is held.
-- Not where a pooler gives every statement another session.
with registered as (
  insert into {schema}.process (name, version, lease, locked)
  values (%(name)s, %(version)s, %(lease)s, pg_backend_pid() = %(session)s)
  returning id, locked
)
select
  id,
  locked and set_config('idle_session_timeout', '0', false) = '0' and pg_try_advisory_lock(hashtextextended(%(lock)s || id, 0)),
  extract(epoch from pg_postmaster_start_time())::float8
from registered
