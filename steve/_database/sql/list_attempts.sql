-- A job's log, in the order in which the attempts were claimed.
select attempt.job_id, number, process, attempt.started_at, attempt.completed_at, attempt.status, error_message, error_details
from {schema}.attempt
join {schema}.job on job.id = attempt.job_id
where job.uid = %(uid)s
order by attempt.lease_no
