-- Which of these claims still hold. The rows are found by primary key; (id, lease_no) is the fence.
select given.id, given.lease_no
from unnest((select %(ids)s::bigint[]), %(lease_nos)s::bigint[]) as given (id, lease_no)
join {schema}.job on job.id = given.id and job.lease_no = given.lease_no and (job.status = 'running') is true
