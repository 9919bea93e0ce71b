-- The numbers of jobs to be stored, ascending, and the time: both by the database, as INSERT would have it.
select clock_timestamp(), array_agg(nextval(sequence.name))
from (select pg_get_serial_sequence(%(table)s, 'id')::regclass as name) sequence, generate_series(1, %(count)s)
