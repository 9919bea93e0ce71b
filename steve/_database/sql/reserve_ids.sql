-- The numbers of jobs to be stored, ascending, and the time: both by the database, as INSERT would have it.
-- Materialized, or the sequence would be looked for once a number: ten times the time.
with sequence as materialized (
  select pg_catalog.to_regclass(pg_catalog.pg_get_serial_sequence(%(table)s, 'id')) as name
)
select pg_catalog.clock_timestamp(), pg_catalog.array_agg(pg_catalog.nextval(sequence.name))
from sequence, pg_catalog.generate_series(1, %(count)s)
