-- Claim up to n due jobs from the lanes that this process serves: the highest priority first, then those due longest. One
-- more row, the summary, says when to look again. The columns of a job are null in the summary, and the columns of the
-- summary are null in the rows of the jobs. One statement, autocommit.
--
-- A lane is (queue, type, priority). Its head is its first pending job, due or not.
-- A full scan finds the lanes itself: `lane` hops from one to the next through the index job_ready. (This is a loose index
-- scan: one descent for each lane, however long the lanes are.) A short scan is given the lanes and the watermark of each:
-- the (run_at, id) of the last job claimed from it. It looks only above the watermarks, and so skips the index entries of
-- claimed jobs, which PostgreSQL cannot remove while any transaction stays open. A job that is committed late, below a
-- watermark, is found by a full scan (steve/_engine/claim/watermarks.py).
--
-- `found` looks into every lane with a due head. The order of the index is the order of the claim: the first job that is not
-- yet due ends the scan of a lane, and rows before the head need not be read again. SKIP LOCKED lets several processes claim
-- at once. A job's row, read under its lock, decides whether the job may run; the snapshot and the watermark do not.
--
-- `found` locks all jobs that it finds in a lane, but the outer limit uses only n of them all. So the busy lanes share n, and
-- a lane leaves what exceeds its share to the next claim. No share is smaller than `lane_least`, so that a claim for fewer
-- jobs keeps the strict order of priorities.
--
-- The lanes skip crashed jobs, whose process died while it held them (crashes > 0). `crashed` claims these in full scans,
-- through a small index that is usually empty. It claims no more of them than workers are idle, so that none lies in a buffer
-- while another one kills the process. A job on its last chance, which one more crash would fail, is claimed only with
-- `alone`, for a process that runs nothing else. `last_chance` says whether such a job is due.
--
-- `only`: a place (ctid) names a row within one table. In a child table by inheritance, such as an archive, the same place
-- would be another row.
-- now(), not clock_timestamp(): a volatile function would filter the rows of the index scan instead of ending it.
-- A parameter is cast only where it first appears. That keeps the statement short: psycopg caches the parsing of statements
-- of up to 4,096 bytes.
with recursive lane as (
  (
    select queue, type, priority, run_at, id
    from only {schema}.job
    where status = 'pending' and %(full)s
    order by queue, type, priority, run_at, id
    limit 1
  )
  union all
  select next.*
  from lane
  cross join lateral (
    select queue, type, priority, run_at, id
    from only {schema}.job
    where status = 'pending' and (queue, type, priority) > (lane.queue, lane.type, lane.priority)
    order by queue, type, priority, run_at, id
    limit 1
  ) next
), headed as (
  select * from lane
  union all
  select watermark.queue, watermark.type, watermark.priority, head.run_at, head.id
  from unnest(
    %(queues)s::pg_catalog.text[], %(types)s::pg_catalog.text[], %(priorities)s::smallint[],
    %(run_ats)s::pg_catalog.timestamptz[], %(ids)s::bigint[]
  ) as watermark (queue, type, priority, run_at, id)
  cross join lateral (
    select run_at, id
    from only {schema}.job
    where status = 'pending' and queue = watermark.queue and type = watermark.type and priority = watermark.priority
      and (run_at, id) > (watermark.run_at, watermark.id)
    order by run_at, id
    limit 1
  ) head
), served as materialized (
  select headed.*, coalesce(known.most, %(unknown_most)s) as most
  from headed
  left join unnest(%(known_types)s::pg_catalog.text[], %(mosts)s::integer[]) as known (type, most)
    on known.type = headed.type
  where (known.type is not null or %(any_type)s) and {filters of headed}
), busy as materialized (
  select *, least(most, %(n)s, greatest(%(lane_least)s, 1 + %(n)s / pg_catalog.count(*) over ())) as share
  from served
  where run_at <= pg_catalog.now()
), found as materialized (
  select candidate.place, pg_catalog.clock_timestamp() as found_at
  from busy
  cross join lateral (
    select ctid as place, id, run_at
    from only {schema}.job
    where status = 'pending' and crashes = 0 and queue = busy.queue and type = busy.type and priority = busy.priority
      and (run_at, id) >= (busy.run_at, busy.id) and run_at <= pg_catalog.now()
    order by run_at, id
    limit busy.share
    for no key update skip locked
  ) candidate
  order by busy.priority desc, candidate.run_at, candidate.id
  limit %(n)s
), crashed as materialized (
  select ctid as place
  from only {schema}.job
  where status = 'pending' and crashes > 0 and run_at <= pg_catalog.now()
    and (crashes + 1 >= %(max_crashes)s) = %(alone)s
    and (type = any(%(known_types)s) or %(any_type)s)
    and {filters}
  order by run_at, id
  limit %(crashed)s
  for no key update skip locked
), claimed as (
  update only {schema}.job
  set status = 'running',
      process_id = %(process_id)s,
      claimed_at = pg_catalog.now(),
      updated_at = pg_catalog.now(),
      -- least(): if somebody has set a row to the end of the range, the claims that meet it must not fail
      attempts = least(attempts, 999999999) + 1,
      lease_no = least(lease_no, 9223372036854775806) + 1
  -- The rows are found by place, since a row that this statement has locked stays where it is: by id, they would be looked up
  -- in the index a second time. If a row was changed after the snapshot and before the lock, the snapshot does not know its
  -- place: the row is not claimed, and the next claim finds it. The planner cannot turn any(array(...)) into a scan of the
  -- table, as it could a join.
  where ctid = any(array(select place from found union all select place from crashed)) and (status = 'pending') is true
  returning
    id, uid, queue, type, priority, payload::pg_catalog.text as payload, error, attempts, crashes, max_attempts,
    backoff_strategy, backoff_base, backoff_max, backoff_jitter, lease_no, claimed_at, created_at, run_at, started_at
), summary as (
  select
    (select extract(epoch from pg_catalog.min(soon.run_at) - pg_catalog.now())::double precision
     from served
     cross join lateral (
       select run_at
       from only {schema}.job
       where status = 'pending' and queue = served.queue and type = served.type and priority = served.priority
         and run_at > pg_catalog.now()
       order by run_at
       limit 1
     ) soon) as next_due_in,
    -- the time until the last job was found, without the time of the update
    extract(
      epoch from coalesce((select pg_catalog.max(found_at) from found), pg_catalog.clock_timestamp()) - pg_catalog.now()
    )::double precision as scan_seconds,
    (select pg_catalog.json_agg(pg_catalog.json_build_array(queue, type, priority, run_at, id))::pg_catalog.text
     from served
     where %(full)s) as heads,
    exists (
      select
      from only {schema}.job
      where status = 'pending' and crashes > 0 and run_at <= pg_catalog.now() and crashes + 1 >= %(max_crashes)s
        and (type = any(%(known_types)s) or %(any_type)s)
        and {filters}
    ) as last_chance
)
select claimed.*, summary.*
from claimed
full join summary on false
