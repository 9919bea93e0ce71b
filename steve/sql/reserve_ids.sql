-- The numbers of jobs to be stored, ascending, and the time: both by the database, as INSERT would have it.
-- Materialized, or the sequence would be looked for once a number: ten times the time.
with sequence as materialized (
  select pg_get_serial_sequence(%(table)s, 'id')::regclass as name
)
select clock_timestamp(), array_agg(nextval(sequence.name))
from sequence, generate_series(1, %(count)s)
