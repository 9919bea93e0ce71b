-- Which of these verdicts are in the database already, after a settlement whose reply was lost. The row of the attempt proves
-- it or, after a success at the first attempt, the job's own row, which then names the process (settle_jobs.sql).
--
-- The row of the attempt must be later than the claim: an older one belongs to an earlier job that had the same id and
-- lease_no. If the job's own row stands for that lease, there is no other row of the attempt, so any that is found belongs to
-- an earlier job, too. A row with the status `crashed` does not count: a rescue wrote it, not a settlement.
--
-- `= any(array[...])`: see settle_jobs.sql.
select
  given.place, job.id, given.lease_no, job.run_at, job.started_at, coalesce(attempt.completed_at, job.completed_at),
  job.completed_at, coalesce(attempt.started_at, job.started_at)
from unnest(
  (select %(ids)s::bigint[]), %(lease_nos)s::bigint[], %(claimed_ats)s::pg_catalog.timestamptz[]
) with ordinality as given (id, lease_no, claimed_at, place)
join {schema}.job on job.id = any(array[given.id])
left join {schema}.attempt
  on attempt.job_id = any(array[given.id]) and attempt.lease_no = given.lease_no
  and attempt.status <> 'crashed' and attempt.completed_at >= given.claimed_at
  and (job.process is null or job.lease_no <> given.lease_no)
where attempt.job_id is not null
  or (job.process is not null and job.lease_no = given.lease_no and job.claimed_at = given.claimed_at)
