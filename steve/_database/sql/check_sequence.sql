-- The sequence of the jobs' ids, whether this role may read it, and the greatest id in the table. No row: there is no job, or
-- the id has no sequence.
select sequence.name, pg_catalog.has_sequence_privilege(sequence.name, 'select'), job.id
from (select pg_catalog.pg_get_serial_sequence(%(table)s, 'id') as name) as sequence
cross join lateral (select id from {schema}.job order by id desc limit 1) as job
where sequence.name is not null
