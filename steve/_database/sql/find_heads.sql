-- The place of the first pending job of each priority, among the jobs that this process serves and that never crashed. If that
-- job is not yet due, its place is the present time, because jobs that are created from now on may be due before it.
-- It reads through the index job_ready, in which the jobs of a queue and type lie together: `lane` hops from one (queue, type,
-- priority) to the next, one descent for each, past any number of jobs that this process does not serve.
-- `crashes < 1` rather than `crashes = 0`: of an equality the planner expects few rows if the statistics say that the table is
-- empty, and then sorts the rows of another index.
with recursive lane as (
  (
    select queue, type, priority, run_at, uid
    from only {schema}.job
    where status = 'pending' and crashes < 1
    order by queue, type, priority, run_at, uid
    limit 1
  )
  union all
  select next.*
  from lane
  cross join lateral (
    select queue, type, priority, run_at, uid
    from only {schema}.job
    where status = 'pending' and crashes < 1 and (queue, type, priority) > (lane.queue, lane.type, lane.priority)
    order by queue, type, priority, run_at, uid
    limit 1
  ) next
)
select distinct on (priority)
  priority, least(run_at, pg_catalog.now()), uid
from lane
where (%(any_type)s or type = any(%(types)s::pg_catalog.text[])) and {filters}
order by priority, run_at, uid
