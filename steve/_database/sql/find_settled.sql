-- Which of these verdicts are in the database already, after a settlement whose reply was lost. The row of the attempt proves
-- it, because one statement writes it together with the job's row. It must be later than the claim: an older one belongs to
-- an earlier job that had the same id and lease_no. A row with the status `crashed` does not count: a rescue wrote it, not a
-- settlement.
-- `= any(array[...])`: see settle_jobs.sql.
select given.place, attempt.job_id, attempt.lease_no, job.run_at, job.started_at, attempt.completed_at, job.completed_at, attempt.started_at
from unnest(
  (select %(ids)s::bigint[]), %(lease_nos)s::bigint[], %(claimed_ats)s::pg_catalog.timestamptz[]
) with ordinality as given (id, lease_no, claimed_at, place)
join {schema}.attempt
  on attempt.job_id = any(array[given.id]) and attempt.lease_no = given.lease_no
  and attempt.status <> 'crashed' and attempt.completed_at >= given.claimed_at
join {schema}.job on job.id = any(array[given.id])
