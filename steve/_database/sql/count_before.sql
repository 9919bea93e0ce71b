-- The pending jobs that are due before a pending job, by queue and type, at most so many in all: those of higher priority that are
-- due, and those of the same priority that have been due for longer.
--
-- As a claim does (claim_jobs.sql), this hops from one priority to the next and reads each from its beginning through the index
-- job_due, up to what is not yet due. `only`, and now(): see there. It locks nothing.
with recursive level as (
  (
    select priority
    from only {schema}.job
    where status = 'pending' and priority > %(priority)s
    order by priority desc
    limit 1
  )
  union all
  select next.priority
  from level
  cross join lateral (
    select priority
    from only {schema}.job
    where status = 'pending' and priority > %(priority)s and priority < level.priority
    order by priority desc
    limit 1
  ) as next
), before as (
  (
    select due.queue, due.type
    from level
    cross join lateral (
      select queue, type
      from only {schema}.job
      where status = 'pending' and priority = level.priority and run_at <= pg_catalog.now()
      order by run_at, uid
      limit %(most)s
    ) as due
    limit %(most)s
  )
  union all
  (
    select queue, type
    from only {schema}.job
    where status = 'pending' and priority = %(priority)s and (run_at, uid) < (%(run_at)s, %(uid)s)
    order by run_at, uid
    limit %(most)s
  )
)
select queue, type, pg_catalog.count(*)
from (select queue, type from before limit %(most)s) as counted
group by queue, type
