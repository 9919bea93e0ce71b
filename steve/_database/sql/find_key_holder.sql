-- The job that has the unique key of the job `uid` now.
select {job}
from {schema}.job
where unique_key = (select unique_key from {schema}.job where uid = %(uid)s::pg_catalog.uuid)
  and status not in ('completed', 'failed', 'cancelled')
