-- All processes that have a row, in the order of their starts. `old`: the heartbeat's age in seconds. The jobs that they run are
-- most of what they say of themselves, and come apart from the rest: most callers read those of few processes, or of none. (Only
-- an object loses a key: PostgreSQL refuses that for other JSON, which somebody may have written.)
select
  id, name, version, started_at, heartbeat_at,
  extract(epoch from pg_catalog.clock_timestamp() - heartbeat_at)::double precision as old,
  lease::double precision, suspected_at is not null,
  (case pg_catalog.jsonb_typeof(info) when 'object' then info - 'running' end)::pg_catalog.text,
  (info -> 'running')::pg_catalog.text
from {schema}.process
order by started_at, id
limit %(most)s
