-- The time, and ids for new jobs in ascending order: the same clock and sequence that an INSERT would use.
-- Materialized: otherwise the sequence would be looked up once for each id, which takes ten times as long.
with sequence as materialized (
  select pg_catalog.to_regclass(pg_catalog.pg_get_serial_sequence(%(table)s, 'id')) as name
)
select pg_catalog.clock_timestamp(), pg_catalog.array_agg(pg_catalog.nextval(sequence.name))
from sequence, pg_catalog.generate_series(1, %(count)s)
