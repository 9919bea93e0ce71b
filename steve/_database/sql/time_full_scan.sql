-- How many seconds a full scan takes to find n due jobs that this process serves, or to find that there are fewer. It looks
-- as claim_jobs.sql does, and locks nothing.
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
  ) next
), found as materialized (
  select candidate.uid
  from level
  cross join lateral (
    select uid
    from only {schema}.job
    where status = 'pending' and crashes = 0 and priority = level.priority and run_at <= pg_catalog.now()
      and (%(any_type)s or type = any(%(types)s::pg_catalog.text[])) is true
      and {filters}
    order by run_at, uid
    limit %(n)s
  ) candidate
  limit %(n)s
)
select
  extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())::double precision,
  pg_catalog.count(*)
from found
