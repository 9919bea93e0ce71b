-- The processes that have a row, and what they say of themselves, as far as it is about jobs of one type. Those that have a
-- handler for it come first, and those that live. A process may have thousands of types, and most processes of a fleet have the
-- same ones: the whole list comes with the first that has it, and the others name it by `kind`.
select
  id, name, version, started_at, heartbeat_at,
  extract(epoch from pg_catalog.clock_timestamp() - heartbeat_at)::double precision as old,
  lease::double precision, suspected_at is not null as suspected,
  case when info is not null then pg_catalog.jsonb_build_object(
    'pools', info -> 'pools', 'any_type', info -> 'any_type', 'max_crashes', info -> 'max_crashes', 'buffered', info -> 'buffered',
    'alone', info -> 'alone', 'quiet', info -> 'quiet', 'stopping', info -> 'stopping', 'problems', info -> 'problems',
    'pace', info -> 'pace', 'scan_seconds', info -> 'scan_seconds',
    'running', pg_catalog.jsonb_build_array(info -> 'running' -> 0),
    'types', case when has_type then pg_catalog.jsonb_build_array(%(type)s::pg_catalog.text) else '[]' end
  )::pg_catalog.text end as info,
  kind,
  case when pg_catalog.row_number() over (partition by kind order by id) = 1 then types::pg_catalog.text end as types
from (
  select
    id, name, version, started_at, heartbeat_at, lease, suspected_at, info,
    info -> 'types' as types,
    coalesce(info -> 'types' ? %(type)s::pg_catalog.text, false) as has_type,
    pg_catalog.hashtextextended((info -> 'types')::pg_catalog.text, 0) as kind
  from {schema}.process
) as process
order by has_type desc, suspected_at is not null, heartbeat_at desc
limit %(most)s
