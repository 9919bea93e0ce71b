-- Make a job pending again that failed, was cancelled or, with `completed`, was completed. Returns it as it is then; nothing if it
-- has another status, if another job has its unique key, or if there is none. Raises 23505 if another job takes the key at this
-- very moment.
-- What it sets, and what it writes into the log first: RETRIED and FIRST_ATTEMPT in fragments.py.
with found as materialized (
  select uid, lease_no, attempts, process, started_at, completed_at
  from {schema}.job
  where uid = %(uid)s::pg_catalog.uuid
    and (status in ('failed', 'cancelled') or (%(completed)s::boolean and status = 'completed')) is true
    and (
      select holder.uid
      from {schema}.job as holder
      where holder.unique_key = job.unique_key and holder.status not in ('completed', 'failed', 'cancelled')
      limit 1
    ) is null
  for no key update
), of_attempt as (
  select uid, lease_no, attempts, process, started_at, completed_at
  from found
  where process is not null
), {first_attempt}
update {schema}.job
set {retried}
where uid = any(array(select uid from found))
returning
  {job},
  case when %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
    then pg_catalog.pg_notify(%(channel)s, '')
  end
