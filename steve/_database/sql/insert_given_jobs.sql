-- Store many jobs, all or none, on a connection whose driver knows no COPY that we could use. Jobs with a key are not among them:
-- create_unique_jobs.sql. With a caller's other work in the transaction, the notification is left out while the server's queue
-- of notifications is half full: insert_job.sql.
with {given_json}, stored as (
  {insert}
  from given
  returning uid, created_at, updated_at, run_at, expires_at
), notified as materialized (
  select pg_catalog.pg_notify(%(channel)s, '')
  where %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
)
select uid, created_at, updated_at, run_at, expires_at
from stored
where (select pg_catalog.count(*) from notified) >= 0
