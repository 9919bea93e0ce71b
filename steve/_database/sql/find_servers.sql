-- The processes that have a row, and what they say of themselves, as far as it is about jobs of one type. Those that have a
-- handler for it come first, and those that live. A process may have thousands of types, and most processes of a fleet have the
-- same ones: the whole list comes with the first that has it, and the others name it by `kind`.
--
-- Each use of the column info would decompress it again: so `said` takes it apart once.
with said as materialized (
  select
    id, name, version, started_at, heartbeat_at, lease, suspected_at,
    case pg_catalog.jsonb_typeof(info) when 'object' then info - array['running', 'types', 'stuck'] end as rest,
    info -> 'types' as types,
    info #> array['running', '0'] as first
  from {schema}.process
), sorted as materialized (
  select
    *,
    coalesce(types ? %(type)s::pg_catalog.text, false) as has_type,
    pg_catalog.hashtextextended(types::pg_catalog.text, 0) as kind
  from said
)
select
  id, name, version, started_at, heartbeat_at,
  extract(epoch from pg_catalog.clock_timestamp() - heartbeat_at)::double precision as old,
  lease::double precision, suspected_at is not null as suspected,
  (rest || pg_catalog.jsonb_build_object(
    'running', pg_catalog.jsonb_build_array(first),
    'types', case when has_type then pg_catalog.jsonb_build_array(%(type)s) else '[]' end
  ))::pg_catalog.text as info,
  kind,
  case when pg_catalog.row_number() over (partition by kind order by id) = 1 then types::pg_catalog.text end as types
from sorted
order by has_type desc, suspected_at is not null, heartbeat_at desc
limit %(most)s
