-- Which session holds the lock under which the claims of four or more processes go one at a time (steve/_engine/claim/crowd.py),
-- and for how many seconds its transaction has been open. The lock is only looked up, never taken.
select
  pg_catalog.format(
    'process %%s of PostgreSQL (%%s)', locks.pid, coalesce(nullif(activity.application_name, ''), 'no application_name')
  ),
  extract(epoch from pg_catalog.clock_timestamp() - activity.xact_start)::double precision
from pg_catalog.pg_locks as locks
left join pg_catalog.pg_stat_activity as activity on activity.pid = locks.pid
where locks.locktype = 'advisory' and locks.granted and locks.objsubid = 1
  and locks.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
  and (locks.classid::bigint << 32) | locks.objid::bigint = pg_catalog.hashtextextended(%(lock)s, 0)
