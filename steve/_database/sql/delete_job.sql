-- Delete a job that has ended, with all that its attempts have left. Returns it as it was; nothing if it has another status or
-- if there is none. If somebody waits for jobs, the channel of the waits gets a notification.
with deleted as (
  delete from {schema}.job
  where uid = %(uid)s::pg_catalog.uuid and (status in ('completed', 'failed', 'cancelled')) is true
  returning
    {job}
), forgotten as (
  delete from {schema}.attempt
  where job_uid = any(array(select uid from deleted))
), unlogged as (
  delete from {schema}.log
  where job_uid = any(array(select uid from deleted))
), unreported as (
  delete from {schema}.progress
  where job_uid = any(array(select uid from deleted))
)
select
  deleted.*,
  case when %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
      and exists (select from {schema}.waiter where until > pg_catalog.now())
    then pg_catalog.pg_notify(%(ended)s, '')
  end
from deleted
