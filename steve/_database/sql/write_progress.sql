-- Write how far jobs are, as their handlers have last said. Returns the time, by which the caller corrects its own clock.
--
-- The job's row is read, and neither written nor locked. So this statement and those that change jobs never wait for each other.
-- Progress is written only for the claim that the job was last given. After a rescue lease_no is higher, and what the earlier
-- attempt says does not count any more. A job that is to be tried again has no claimed_at, and keeps the lease_no of its last attempt.
--
-- `report`: the settler and the scanner may both write about a run, in any order, and the later report stays. Both write the
-- rows in the order of their keys, so that neither waits for the other while the other waits for it.
--
-- A subquery looks each job up, and not a join: if the statistics say that job has few rows, the planner might read all of it for a
-- join, and keep the plan when the table has grown.
with written as (
  insert into {schema}.progress (job_uid, lease_no, claimed_at, report, done, total, note, at)
  select
    given.uid, given.lease_no, given.claimed_at, given.report, given.done, given.total, given.note,
    pg_catalog.clock_timestamp() - given.ago * interval '1 microsecond'
  from unnest(
    %(uids)s::pg_catalog.uuid[], %(lease_nos)s::bigint[], %(claimed_ats)s::pg_catalog.timestamptz[], %(reports)s::bigint[],
    %(dones)s::double precision[], %(totals)s::double precision[], %(notes)s::pg_catalog.text[], %(agos)s::bigint[]
  ) as given (uid, lease_no, claimed_at, report, done, total, note, ago)
  where (
    select job.lease_no = given.lease_no and coalesce(job.claimed_at, given.claimed_at) = given.claimed_at
    from {schema}.job
    where job.uid = given.uid
  )
  order by given.uid
  on conflict (job_uid) do update
  set lease_no = excluded.lease_no, claimed_at = excluded.claimed_at, report = excluded.report,
      done = excluded.done, total = excluded.total, note = excluded.note, at = excluded.at
  where (progress.lease_no, progress.claimed_at) <> (excluded.lease_no, excluded.claimed_at) or progress.report < excluded.report
)
select pg_catalog.clock_timestamp()
