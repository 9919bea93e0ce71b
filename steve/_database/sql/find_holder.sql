-- The job that has the unique key of the job `uid` now. None of that name is returned if there is none.
select
  {fields}
from {schema}.job
where unique_key = (select unique_key from {schema}.job where uid = %(uid)s)
  and status in ('pending', 'running') and unique_key is not null
