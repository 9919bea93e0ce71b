-- Write what attempts have logged since the last time, for all of them at once, and delete the lines in the middle of those that
-- have logged too much. Returns the time, by which the caller corrects its own clock.
--
-- It writes rows that only this process writes: the claim is in their key. So it needs no fence. An attempt that has lost its job
-- goes on with its own lines, and never writes among those of the next one. The job's row is only read: to a job that was deleted
-- no lines are added. A row that is there already was sent by an earlier try whose reply was lost.
--
-- `shift` is what to add to the times of the lines, which are those of the caller's clock. If the caller does not know it yet,
-- it is measured here, from the time at which the statement was sent.
--
-- Subqueries look each job and the rows to delete up, and not joins: see write_progress.sql. `offset 0` keeps the planner from
-- making a join of the second one.
with written as (
  insert into {schema}.log (job_uid, lease_no, claimed_at, first_line, last_line, attempt, shift, lines)
  select
    given.uid, given.lease_no, given.claimed_at, given.first_line, given.last_line, given.attempt,
    coalesce(
      %(shift)s::bigint,
      (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint - %(sent_at)s::bigint
    ),
    given.lines
  from unnest(
    %(uids)s::pg_catalog.uuid[], %(lease_nos)s::bigint[], %(claimed_ats)s::pg_catalog.timestamptz[], %(firsts)s::bigint[],
    %(lasts)s::bigint[], %(attempts)s::integer[], %(lines)s::pg_catalog.json[]
  ) as given (uid, lease_no, claimed_at, first_line, last_line, attempt, lines)
  where (select true from {schema}.job where job.uid = given.uid)
  order by given.uid, given.lease_no, given.claimed_at, given.first_line
  on conflict (job_uid, lease_no, claimed_at, first_line) do nothing
), left_out as (
  delete from {schema}.log
  where ctid = any(array(
    select old.place
    from unnest(
      %(cut_uids)s::pg_catalog.uuid[], %(cut_lease_nos)s::bigint[], %(cut_claimed_ats)s::pg_catalog.timestamptz[],
      %(cut_froms)s::bigint[], %(cut_untils)s::bigint[]
    ) as cut (uid, lease_no, claimed_at, first_line, until)
    cross join lateral (
      select ctid as place
      from {schema}.log
      where log.job_uid = cut.uid and log.lease_no = cut.lease_no and log.claimed_at = cut.claimed_at
        and log.first_line >= cut.first_line and log.first_line < cut.until
      offset 0
    ) as old
  ))
)
select pg_catalog.clock_timestamp()
