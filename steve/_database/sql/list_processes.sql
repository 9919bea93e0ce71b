-- All processes that have a row, in the order of their starts. `old`: the heartbeat's age in seconds.
select
  id, name, version, started_at, heartbeat_at,
  extract(epoch from pg_catalog.clock_timestamp() - heartbeat_at)::double precision as old,
  lease::double precision, suspected_at is not null, info::pg_catalog.text
from {schema}.process
order by started_at, id
limit %(most)s
