-- Take up to n due jobs that this process serves: highest priority first, then the longest due. One more row, the summary, says
-- when to look again. The columns of a job are null in it, and its columns are null in the rows of the jobs.
-- One statement, autocommit.
--
-- The index job_due has the order of the claim. A full scan finds the priorities by itself: `level` hops from one to the next
-- (a loose index scan, one descent for each) and looks from the beginning of each. A short scan is given priorities, highest
-- first, and of each the watermark: the (run_at, uid) up to which this process has looked. It looks only above, past the jobs of
-- queues and types that this process does not serve, and past the entries of jobs already claimed, which PostgreSQL cannot
-- remove from the index while any transaction stays open. A job that is committed late, below a watermark, is found otherwise
-- (steve/_engine/claim/watermarks.py). `below` lets a short scan go on, as a full scan does, with the priorities lower than those
-- that it was given.
--
-- `found` takes the priorities one after the other and stops at n rows: it locks no row beyond. "Not yet due" ends each scan.
-- SKIP LOCKED lets processes pass each other by. Whether a job may run is decided by its row under the lock, never by the
-- snapshot or a watermark.
--
-- `mosts` says how many jobs of a type the buffer may take. What `found` brings beyond that stays pending, and the summary names
-- the first of these jobs, so that no watermark passes them by. With `capped` false no limit is below n.
--
-- `found` skips crashed jobs: those whose process died while it held them (crashes > 0). Such jobs are claimed separately,
-- through a small index of their own that is empty as a rule, and never more of them than workers are idle, so that none lies in
-- a buffer while another one kills its process. A job on its last chance, which one more crash would fail, is claimed only
-- `alone`, by a process that runs nothing else. `last_chance` says whether one is due.
--
-- With `fleet_lock`, the claim looks for jobs only if no other claim holds that lock now, and else returns `is_mine` false: see
-- steve/_engine/claim/crowd.py. It never waits for the lock, because a statement that waits has a snapshot, which keeps PostgreSQL
-- from removing the entries that all other claims walk through.
--
-- `only`: a place, ctid, names a row of one table. In a child table by inheritance, an archive say, it names another row.
-- now(), never clock_timestamp(): a volatile function would be a filter instead of the end of the index scan.
-- A parameter is cast only where it first appears.
with recursive turn as materialized (
  select %(fleet_lock)s::pg_catalog.text is null
    or pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(%(fleet_lock)s, 0)) as is_mine
), known as (
  select *
  from unnest(%(types)s::pg_catalog.text[], %(mosts)s::integer[]) as known (type, most)
), level as (
  (
    select priority
    from only {schema}.job
    where status = 'pending' and priority < %(below)s and (select is_mine from turn)
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
), start (priority, run_at, uid) as materialized (
  select *
  from unnest(%(priorities)s::smallint[], %(run_ats)s::pg_catalog.timestamptz[], %(uids)s::pg_catalog.uuid[])
  where (select is_mine from turn)
  union all
  -- No job is due at -infinity, so the null is never compared.
  select priority, '-infinity', null
  from level
), found as materialized (
  select candidate.*
  from start
  cross join lateral (
    select ctid as place, type, priority, run_at, uid
    from only {schema}.job
    where status = 'pending' and crashes = 0 and priority = start.priority
      and (run_at, uid) > (start.run_at, start.uid) and run_at <= pg_catalog.now()
      and (%(any_type)s or type in (select type from known))
      and {filters}
    order by run_at, uid
    limit %(n)s
    for no key update skip locked
  ) candidate
  limit %(n)s
), scanned as (
  select pg_catalog.count(*), pg_catalog.clock_timestamp() as at
  from found
), ranked as (
  select place, priority, run_at, uid, coalesce(most, %(unknown_most)s) as most,
    pg_catalog.row_number() over (partition by type order by priority desc, run_at, uid) as rank
  from found
  left join known using (type)
  where %(capped)s
), crashed as materialized (
  select ctid as place
  from only {schema}.job
  where status = 'pending' and crashes > 0 and run_at <= pg_catalog.now()
    and (crashes + 1 >= %(max_crashes)s) = %(alone)s and (select is_mine from turn)
    and (%(any_type)s or type in (select type from known))
    and {filters}
  order by run_at, uid
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
  -- By place, not by uid, which would go through the index a second time: a row that this statement has locked stays where it
  -- is. A row that was changed after the snapshot and before the lock has a place that the snapshot does not know. It is not
  -- claimed, and a later claim finds it. any(array(...)), not a join: the planner cannot turn it into a scan of the table.
  where ctid = any(array(
    select place from scanned, found where not %(capped)s
    union all
    select place from scanned, ranked where rank <= most
    union all
    select place from crashed
  )) and (status = 'pending') is true
  returning
    uid, queue, type, priority, payload::pg_catalog.text as payload, error, attempts, crashes, max_attempts,
    backoff_strategy, backoff_base, backoff_max, backoff_jitter, lease_no, claimed_at, created_at, run_at, started_at,
    {extras}
), summary as (
  select
    -- of the next few only: the jobs of others may lie in between
    (select extract(epoch from pg_catalog.min(soon.run_at) - pg_catalog.now())::float
     from start
     cross join lateral (
       select coalesce(
         pg_catalog.min(run_at) filter (where (%(any_type)s or type in (select type from known)) and {filters}),
         case when pg_catalog.count(*) = 16 then pg_catalog.max(run_at) end
       ) as run_at
       from (
         select run_at, queue, type
         from only {schema}.job
         where status = 'pending' and priority = start.priority and run_at > pg_catalog.now()
         order by run_at
         limit 16
       ) next
     ) soon) as next_due_in,
    extract(epoch from scanned.at - pg_catalog.now())::float as scan_seconds,
    -- the last due job of each priority, whoever serves it, unless n ended the scan before
    (select pg_catalog.json_agg(pg_catalog.json_build_array(start.priority, last.run_at, last.uid))::pg_catalog.text
     from start
     left join lateral (
       select run_at, uid
       from only {schema}.job
       where status = 'pending' and priority = start.priority
         and (run_at, uid) > (start.run_at, start.uid) and run_at <= pg_catalog.now()
       order by run_at desc, uid desc
       limit 1
     ) last on true
     where scanned.count < %(n)s) as ends,
    scanned.count >= %(n)s as cut_off,
    (select pg_catalog.json_agg(pg_catalog.json_build_array(priority, run_at, uid))::pg_catalog.text
     from ranked
     where rank > most) as left_over,
    exists (
      select
      from only {schema}.job
      where status = 'pending' and crashes > 0 and run_at <= pg_catalog.now() and crashes + 1 >= %(max_crashes)s
        and (%(any_type)s or type in (select type from known))
        and {filters}
    ) as last_chance,
    (select is_mine from turn) as is_mine
  from scanned
)
select claimed.*, summary.*
from claimed
full join summary on false
