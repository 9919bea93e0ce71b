-- As count_pending.sql, where more jobs are pending than are counted: it hops from lane to lane, the jobs of one queue, type and
-- priority, at most `lanes` times, and counts some jobs of each. Returns for each queue and type also whether there may be more,
-- and how many lanes it has.
--
-- Each step reads the first `least` jobs of a lane where it finds it. To find a lane takes about as long as to count `lane_cost`
-- jobs. So if there are few lanes, there is time to count more of each: together about `most`, less what finding the lanes took.
-- With thousands of lanes, the first `least` of each must do.
--
-- coalesce(): also a plan that is made for any queue goes to the queue by the index.
with recursive lane as (
  (
    select queue, type, priority, pg_catalog.min(run_at) as run_at, pg_catalog.count(*) as count, 1 as number
    from (
      select queue, type, priority, run_at
      from only {schema}.job
      where status = 'pending' and queue >= coalesce(%(queue)s::pg_catalog.text, '')
      order by queue, type, priority, run_at, uid
      limit %(least)s
    ) as first
    group by queue, type, priority
    order by queue, type, priority
    limit 1
  )
  union all
  select next.queue, next.type, next.priority, next.run_at, next.count, lane.number + 1
  from lane
  cross join lateral (
    select queue, type, priority, pg_catalog.min(run_at) as run_at, pg_catalog.count(*) as count
    from (
      select queue, type, priority, run_at
      from only {schema}.job
      where status = 'pending' and (queue, type, priority) > (lane.queue, lane.type, lane.priority)
      order by queue, type, priority, run_at, uid
      limit %(least)s
    ) as first
    group by queue, type, priority
    order by queue, type, priority
    limit 1
  ) as next
  where lane.number < %(lanes)s and lane.queue <= coalesce(%(queue)s::pg_catalog.text, lane.queue)
), share as materialized (
  select greatest(%(most)s / greatest(pg_catalog.count(*), 1) - %(lane_cost)s, %(least)s) as most
  from lane
), counted as materialized (
  select lane.queue, lane.type, lane.run_at, share.most, case
    when lane.count < %(least)s or share.most = %(least)s then lane.count
    else (
      select pg_catalog.count(*)
      from (
        select
        from only {schema}.job
        where status = 'pending' and queue = lane.queue and type = lane.type and priority = lane.priority
        limit share.most
      ) as more
    )
  end as count
  from share
  cross join lane
  where lane.queue = coalesce(%(queue)s::pg_catalog.text, lane.queue)
)
select
  queue, type, pg_catalog.sum(count)::bigint, pg_catalog.bool_or(count >= most),
  pg_catalog.min(run_at) filter (where run_at <= pg_catalog.now()), pg_catalog.count(*)
from counted
group by queue, type
