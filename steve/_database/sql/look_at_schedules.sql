-- The database's time, and of each schedule what decides whether it is due. One row without a name if there are no schedules.
select clock.now, name, version, stored, last_tick, last_job, paused_at is not null as paused
from (select pg_catalog.clock_timestamp() as now) as clock
left join {schema}.schedule on true
