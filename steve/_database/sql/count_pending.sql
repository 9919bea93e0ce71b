-- How many jobs of each queue and type are pending, and since when the oldest of them that is due has been due: among the first
-- `most` in the order of the index job_ready, of one queue if it is given (null: of all). The sums tell whether these were all.
select queue, type, pg_catalog.count(*), pg_catalog.min(run_at) filter (where run_at <= pg_catalog.now())
from (
  select queue, type, run_at
  from only {schema}.job
  where status = 'pending' and (%(queue)s::pg_catalog.text is null or queue = %(queue)s::pg_catalog.text)
  order by queue, type, priority, run_at, uid
  limit %(most)s
) as looked_at
group by queue, type
