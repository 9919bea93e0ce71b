-- The jobs with these uids.
select
  {fields}
from {schema}.job
where uid = any(%(uids)s::pg_catalog.uuid[])
