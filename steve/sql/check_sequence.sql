-- Whether the sequence of the jobs' ids lies behind the ids that are there, as after a copy of the rows or a switch-over by
-- logical replication: the next jobs could not be stored. The sequence, the id that it gives out next, and the greatest that
-- there is. No row: all is well, or this role may not know. (The last value is null where none was given out since the sequence
-- was made.)
select sequence.name, coalesce(pg_catalog.pg_sequence_last_value(sequence.id), 0) + 1, greatest_id.id
from (
  select
    pg_catalog.pg_get_serial_sequence(%(table)s, 'id') as name,
    pg_catalog.to_regclass(pg_catalog.pg_get_serial_sequence(%(table)s, 'id')) as id
) as sequence
cross join lateral (
  select id
  from {schema}.job
  where pg_catalog.has_sequence_privilege(sequence.id, 'usage, select')
  order by id desc
  limit 1
) as greatest_id
where greatest_id.id > coalesce(pg_catalog.pg_sequence_last_value(sequence.id), 0)
