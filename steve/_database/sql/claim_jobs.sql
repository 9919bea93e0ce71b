-- Take up to n due jobs of the lanes this process serves: highest priority first, then the longest due. One more row, the
-- summary, says when to look again. The columns of a job are null in it, and its columns are null in the rows of the jobs.
-- One statement, autocommit.
--
-- A lane is (queue, type, priority), and its head the first pending job in it, due or not.
-- A full scan finds the lanes by itself: `lane` hops from one to the next through the index job_ready (a loose index scan,
-- one descent a lane, however long the lanes are). A short scan is given lanes and, of each, the watermark: (run_at, id) of
-- the last job claimed from it. It looks only above, past the entries of jobs already claimed, which PostgreSQL cannot remove
-- from the index while any transaction stays open. A job that is committed late, below a watermark, is found by a full scan
-- (steve/_engine/claim/watermarks.py).
--
-- `found` looks into every lane with a due head, side by side. The index's order is the claim's order: "not yet due" ends
-- each scan, and rows before the head need no second look. SKIP LOCKED lets processes pass each other by. Whether a job may
-- run is decided by its row under the lock, never by the snapshot or a watermark.
--
-- A look into a lane locks what it finds, and the outer limit uses only n of all: so the busy lanes share n, and a lane with
-- more than its share gives the rest to the next claim. No lane gets fewer than `lane_least`: a claim for less gets the strict
-- order of priorities.
--
-- The lanes skip crashed jobs: those whose process died while it held them (crashes > 0). Such jobs are claimed separately,
-- through a small index of their own that is empty as a rule: with a full scan, and never more of them than workers are idle,
-- so that none lies in a buffer while another one kills its process. A job on its last chance, which one more crash would fail,
-- is claimed only `alone`, by a process that runs nothing else. `last_chance` says whether one is due.
--
-- `only`: a place, ctid, names a row of one table. In a child table by inheritance, an archive say, it names another row.
-- now(), never clock_timestamp(): a volatile function would be a filter instead of the end of the index scan.
-- A parameter is cast only where it first appears, which keeps the statement short: psycopg caches the parsing of statements of
-- up to 4,096 bytes.
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
      -- least(): a row that somebody has set to the end of the range must not stop every claim that meets it
      attempts = least(attempts, 999999999) + 1,
      lease_no = least(lease_no, 9223372036854775806) + 1
  -- By place, not by id, which would go through the index a second time: a row that this statement has locked stays where it
  -- is. A row that was changed after the snapshot and before the lock has a place that the snapshot does not know. It is not
  -- claimed, and the next claim finds it. any(array(...)), not a join: the planner cannot turn it into a scan of the table.
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
    -- until the last job was found, whatever was written to it afterwards
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
