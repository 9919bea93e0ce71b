-- As count_pending.sql, where more jobs are pending than are counted: it hops from lane to lane, the jobs of one queue, type and
-- priority, at most `lanes` times, and counts about `most` jobs in all, an equal share in each lane. Returns for each queue and type
-- also whether there may be more, and how many lanes it has. coalesce(): also a plan that is made for any queue goes to the queue
-- by the index.
with recursive lane as (
  (
    select queue, type, priority, run_at, 1 as number
    from only {schema}.job
    where status = 'pending' and queue >= coalesce(%(queue)s::pg_catalog.text, '')
    order by queue, type, priority, run_at, uid
    limit 1
  )
  union all
  select next.queue, next.type, next.priority, next.run_at, lane.number + 1
  from lane
  cross join lateral (
    select queue, type, priority, run_at
    from only {schema}.job
    where status = 'pending' and (queue, type, priority) > (lane.queue, lane.type, lane.priority)
    order by queue, type, priority, run_at, uid
    limit 1
  ) as next
  where lane.number < %(lanes)s and lane.queue <= coalesce(%(queue)s::pg_catalog.text, lane.queue)
), share as materialized (
  select greatest(%(most)s / greatest(pg_catalog.count(*), 1), 1) as most
  from lane
)
select
  lane.queue, lane.type, pg_catalog.sum(looked_at.count)::bigint, pg_catalog.bool_or(looked_at.count >= share.most),
  pg_catalog.min(lane.run_at) filter (where lane.run_at <= pg_catalog.now()), pg_catalog.count(*)
from share
cross join lane
cross join lateral (
  select pg_catalog.count(*) as count
  from (
    select
    from only {schema}.job
    where status = 'pending' and queue = lane.queue and type = lane.type and priority = lane.priority
    limit share.most
  ) as counted
) as looked_at
where lane.queue = coalesce(%(queue)s::pg_catalog.text, lane.queue)
group by lane.queue, lane.type
