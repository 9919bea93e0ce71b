-- Cancel up to n jobs that have not begun by their expires_at, and that nobody claims: their queue or type is not served, or
-- all workers are busy. Several processes may do this at once: each skips what another one has locked.
--
-- A retried, snoozed or crashed job has begun before, so its started_at is set. Nobody holds these jobs, so no fence is needed:
-- under the lock of the row the job is still pending and unbegun. A job that is being claimed at this moment is skipped.
-- There is no row in the log, since there was no attempt. If somebody waits for jobs, the channel of the waits gets a notification.
--
-- The index job_expiry has these jobs and no others. `(status = 'pending') is true`: see there.
with overdue as materialized (
  select uid
  from {schema}.job
  where expires_at is not null and started_at is null and (status = 'pending') is true and expires_at <= pg_catalog.now()
  order by expires_at
  limit %(n)s
  for no key update skip locked
)
update {schema}.job
set status = 'cancelled',
    error = 'Expired: the job had not begun by ' || (pg_catalog.to_json(expires_at) #>> '{}'),
    completed_at = pg_catalog.now(),
    updated_at = pg_catalog.now()
where uid = any(array(select uid from overdue)) and (status = 'pending') is true and started_at is null
returning
  uid, queue, type, priority, payload::pg_catalog.text as payload, error, attempts, crashes, max_attempts,
  backoff_strategy, backoff_base, backoff_max, backoff_jitter, lease_no, claimed_at, created_at, run_at, started_at,
  {extras}, updated_at, completed_at,
  (select pg_catalog.pg_notify(%(ended)s, '') where %(notify)s and exists (select from {schema}.waiter where until > pg_catalog.now()))
