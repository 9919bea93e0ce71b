-- Which of the indexes, keys and defaults that the statements rely on are missing, for example because a copy of the tables
-- left them out. An index that is not valid counts as missing.
select 'the index or key ' || expected.name || ' is missing or not valid'
from pg_catalog.unnest(%(indexes)s::pg_catalog.text[]) as expected (name)
where not exists (
  select
  from pg_catalog.pg_index
  join pg_catalog.pg_class on pg_class.oid = indexrelid
  where pg_class.relname = expected.name and pg_class.relnamespace = pg_catalog.to_regnamespace(%(schema)s) and indisvalid
)
union all
select 'the column ' || expected.name || ' of job has no default'
from pg_catalog.unnest(%(defaults)s::pg_catalog.text[]) as expected (name)
where not exists (
  select
  from pg_catalog.pg_attribute
  where attrelid = pg_catalog.to_regclass(%(job)s) and attname = expected.name and atthasdef
)
