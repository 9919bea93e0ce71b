-- Which of these verdicts are in the database already, after a settlement whose reply was lost, or after a handler has called
-- `run.complete()`. The row of the attempt proves it or, after a success at the first attempt, the job's own row, which then
-- names the process (settle_jobs.sql, complete_job.sql).
--
-- The row must name this process: after a failover another process may have claimed the job under the same lease_no. The row of
-- the attempt must also be later than the claim: an older one was left from another life of the job (forget_attempt.sql). If
-- the job's own row stands for that lease, there is no other row of the attempt, so any that is found was left, too. A row of a
-- crash does not count: a rescue wrote it, not a settlement. Its status is `crashed`, or `cancelled` if that was asked.
--
-- `cancelled`: the job's error, if the attempt ended with it, perhaps because somebody had asked for that (settle_jobs.sql).
-- `result`: that of the job, while it is `is_kept`. It is gone when the job has been retried since.
--
-- `= any(array[...])`: see settle_jobs.sql.
select
  given.place, job.run_at, job.started_at, coalesce(attempt.completed_at, job.completed_at),
  job.completed_at, coalesce(attempt.started_at, job.started_at),
  case when attempt.status = 'cancelled' then attempt.error_message end as cancelled,
  coalesce(attempt.status, 'success') as status,
  job.status = 'completed' and job.lease_no = given.lease_no as is_kept,
  job.result::pg_catalog.text as result
from unnest(
  (select %(uids)s::pg_catalog.uuid[]), %(lease_nos)s::bigint[], %(claimed_ats)s::pg_catalog.timestamptz[]
) with ordinality as given (uid, lease_no, claimed_at, place)
join {schema}.job on job.uid = any(array[given.uid])
left join {schema}.attempt
  on attempt.job_uid = any(array[given.uid]) and attempt.lease_no = given.lease_no
  and attempt.process = %(process)s and attempt.status <> 'crashed'
  and attempt.error_type is distinct from 'steve.Crashed' and attempt.completed_at >= given.claimed_at
  and (job.process is null or job.lease_no <> given.lease_no)
where attempt.job_uid is not null
  or (job.process = %(process)s and job.lease_no = given.lease_no and job.claimed_at = given.claimed_at)
