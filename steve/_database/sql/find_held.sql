-- Which of these claims still hold. The rows are found by primary key; (uid, lease_no) is the fence.
select given.uid, given.lease_no
from unnest((select %(uids)s::pg_catalog.uuid[]), %(lease_nos)s::bigint[]) as given (uid, lease_no)
join {schema}.job on job.uid = given.uid and job.lease_no = given.lease_no and (job.status = 'running') is true
