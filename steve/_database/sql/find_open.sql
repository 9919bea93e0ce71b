-- Which of these jobs have not ended.
select uid
from {schema}.job
where uid = any(%(uids)s::pg_catalog.uuid[]) and (status in ('pending', 'running')) is true
