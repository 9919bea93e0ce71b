-- Which of these jobs have ended, with their whole rows, and which ones do not exist: of those only the uid that was asked for. Of
-- the others there is no row.
--
-- `uid = any(array[...])`: see settle_jobs.sql. A standby may lack the newest jobs, so it says of none that it does not exist.
select
  asked,
  {job}
from unnest(%(uids)s::pg_catalog.uuid[]) as given (asked)
left join {schema}.job on uid = any(array[asked])
where (status in ('completed', 'failed', 'cancelled')) is true
  or (uid is null and not pg_catalog.pg_is_in_recovery())
