-- What stands for each of these new jobs that have a key: the later rows count more. In this order: the job that opened a
-- window for the key which is not over; the job with the key that has not ended; the job that an earlier try has replaced; the
-- job that an earlier try has made. `held` may name a job that was deleted: then its columns are null.
with found (precedence, asked, key, held) as materialized (
  select 4, uid, null, uid
  from {schema}.job
  where uid = any(%(uids)s::pg_catalog.uuid[])
  union all
  select 3, uid, null, job_uid
  from {schema}.replacement
  where uid = any(%(uids)s::pg_catalog.uuid[])
  union all
  select 2, null, unique_key, uid
  from {schema}.job
  where unique_key = any(%(keys)s::pg_catalog.text[]) and status not in ('completed', 'failed', 'cancelled')
  union all
  select 1, null, key, uid
  from {schema}.unique_window
  where key = any(%(keys)s::pg_catalog.text[]) and until > pg_catalog.clock_timestamp()
)
select precedence, asked, key, held, {job}
from found
left join {schema}.job on uid = held
order by precedence
