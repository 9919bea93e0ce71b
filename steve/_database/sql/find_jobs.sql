-- The jobs with these uids.
select
  {job}
from {schema}.job
where uid = any(%(uids)s::pg_catalog.uuid[])
