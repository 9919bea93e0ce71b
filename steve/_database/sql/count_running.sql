-- How many jobs of each queue and type are running, among the first `most` of the index job_claimed.
select queue, type, pg_catalog.count(*)
from (
  select queue, type
  from only {schema}.job
  where status = 'running' and process_id is not null
  order by process_id
  limit %(most)s
) as looked_at
group by queue, type
