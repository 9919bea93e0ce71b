-- Take up to n due jobs of the lanes this process serves: highest priority first, then the longest due.
-- One statement, autocommit. It always brings at least one row: the last columns say when to look again.
--
-- A lane is (queue, type, priority). `lane` hops from lane to lane through the index job_ready (a loose index scan: one
-- descent a lane, however long the lanes are) and brings each lane's head. `busy` are those served whose head is due.
-- `found` looks into each of them side by side; the index's order is the claim's order, so "not yet due" ends every scan.
-- SKIP LOCKED makes processes pass each other by; the row lock decides, whatever the snapshot showed.
--
-- A look into a lane locks what it finds, and the outer limit uses only n of all: so the lanes share n, twice over, which
-- keeps the waste below n rows. No lane gets fewer than 16 (a caller who asks for less gets the strict order of priorities).
--
-- now(), never clock_timestamp(): a volatile function would be a filter instead of the end of the index scan.
with recursive lane as (
  (
    select queue, type, priority, run_at
    from {schema}.job
    where status = 'pending'
    order by queue, type, priority, run_at
    limit 1
  )
  union all
  select next.*
  from lane
  cross join lateral (
    select queue, type, priority, run_at
    from {schema}.job
    where status = 'pending' and (queue, type, priority) > (lane.queue, lane.type, lane.priority)
    order by queue, type, priority, run_at
    limit 1
  ) next
), served as materialized (
  select lane.queue, lane.type, lane.priority, lane.run_at, coalesce(known.most, %(unknown_most)s) as most
  from lane
  left join unnest(%(types)s::text[], %(mosts)s::integer[]) as known (type, most) on known.type = lane.type
  where (known.type is not null or %(any_type)s)
    and (%(queues)s::text[] is null or lane.queue = any(%(queues)s::text[]))
), busy as materialized (
  select queue, type, priority, least(most, greatest(16, 2 * %(n)s / count(*) over ())) as most
  from served
  where run_at <= now()
), found as materialized (
  select candidate.id
  from busy
  cross join lateral (
    select id, run_at
    from {schema}.job
    where status = 'pending' and queue = busy.queue and type = busy.type and priority = busy.priority and run_at <= now()
    order by run_at, id
    limit least(busy.most, %(n)s)
    for no key update skip locked
  ) candidate
  order by busy.priority desc, candidate.run_at, candidate.id
  limit %(n)s
), claimed as (
  update {schema}.job
  set status = 'running',
      process_id = %(process_id)s,
      claimed_at = now(),
      updated_at = now(),
      attempts = attempts + 1,
      lease_no = lease_no + 1
  -- any(array(...)), not a join: the planner cannot turn it into a scan of the table
  where id = any(array(select id from found))
  returning
    id, uid, queue, type, priority, payload::text as payload, error, attempts, crashes, max_attempts,
    backoff_strategy, backoff_base, backoff_max, backoff_jitter, lease_no, claimed_at, created_at, run_at, started_at
), due as (
  select extract(epoch from min(soon.run_at) - now())::float8 as next_due_in
  from served
  cross join lateral (
    select run_at
    from {schema}.job
    where status = 'pending' and queue = served.queue and type = served.type and priority = served.priority and run_at > now()
    order by run_at
    limit 1
  ) soon
)
select claimed.*, due.next_due_in
from due
left join claimed on true
