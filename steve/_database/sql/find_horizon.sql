-- What keeps PostgreSQL from removing dead rows, and for how many seconds (null: not known). The longest comes first.
select 'session ' || pid || ' of ' || coalesce(nullif(application_name, ''), 'an unnamed application') || ', ' || state,
       extract(epoch from pg_catalog.clock_timestamp() - xact_start)::double precision as seconds
from pg_catalog.pg_stat_activity
where backend_xmin is not null and pid <> pg_catalog.pg_backend_pid()
  and xact_start < pg_catalog.clock_timestamp() - interval '5 seconds'
union all
select 'prepared transaction ' || gid, extract(epoch from pg_catalog.clock_timestamp() - prepared)::double precision
from pg_catalog.pg_prepared_xacts
where prepared < pg_catalog.clock_timestamp() - interval '5 seconds'
union all
select 'replication slot ' || slot_name, null
from pg_catalog.pg_replication_slots
where xmin is not null or (not active and catalog_xmin is not null)
union all
-- A standby with hot_standby_feedback: its queries count like those of this server. If it has a slot, the slot is listed
-- above.
select 'standby ' || coalesce(nullif(application_name, ''), pid::pg_catalog.text), null
from pg_catalog.pg_stat_replication
where backend_xmin is not null
order by seconds desc nulls last
