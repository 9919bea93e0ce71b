-- The pending job that has been due for longest, of all queues: its queue, its type and since when. No row if none is due.
--
-- As a claim does (claim_jobs.sql), this hops from one priority to the next and looks at the first job of each through the index
-- job_due. `only`, and now(): see there. It locks nothing.
with recursive level as (
  (
    select priority
    from only {schema}.job
    where status = 'pending'
    order by priority desc
    limit 1
  )
  union all
  select next.priority
  from level
  cross join lateral (
    select priority
    from only {schema}.job
    where status = 'pending' and priority < level.priority
    order by priority desc
    limit 1
  ) as next
)
select first.queue, first.type, first.run_at
from level
cross join lateral (
  select queue, type, run_at
  from only {schema}.job
  where status = 'pending' and priority = level.priority and run_at <= pg_catalog.now()
  order by run_at, uid
  limit 1
) as first
order by run_at
limit 1
