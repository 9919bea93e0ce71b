-- The attempt of a job that is under way: which process holds the job, and since when. Nothing unless the job is running.
select uid, attempts, process.name, claimed_at
from {schema}.job
join {schema}.process on process.id = job.process_id
where uid = %(uid)s::pg_catalog.uuid and (status = 'running') is true
