-- A job's attempts that have ended, in the order in which they were claimed: its rows in the log and, where the job's own row
-- stands for an attempt, that one (settle_jobs.sql). A row in the log under the same lease was left from another life of the job.
select job.uid, number, ended.process, ended.started_at, ended.completed_at, ended.status, error_message, error_details, error_type
from {schema}.job
cross join lateral (
  select lease_no, number, process, started_at, completed_at, status, error_message, error_details, error_type
  from {schema}.attempt
  where job_uid = job.uid and (job.process is null or lease_no <> job.lease_no)
  union all
  select job.lease_no, job.attempts, job.process, job.started_at, job.completed_at, 'success', null, null, null
  where job.process is not null
) as ended
where job.uid = %(uid)s::pg_catalog.uuid
order by ended.lease_no
