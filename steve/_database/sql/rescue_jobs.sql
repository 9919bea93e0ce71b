-- Take up to n jobs away from another process that is dead or stalled, or from this one, which holds them without running
-- them. Each job is pending again and due as before, or failed if this was its last crash, or cancelled if somebody had asked for
-- that. The jobs are returned as they are now, except lease_no and claimed_at, which are those of the lost claim.
--
-- Another process loses jobs only if it has sent no heartbeat since it was judged. If it was judged dead, the lock of its row
-- must also be free. This statement holds that lock, and the lock on the row itself, until its end. A heartbeat waits for it,
-- and then inserts the row again if it was deleted. From another process all jobs are taken except `uids`, which were taken
-- before: if that process lives after all and claims one of them again, one judgement must not cost it the job twice. From
-- this process (`own`) only the claims in `uids` and `lease_nos` are taken.
--
-- The log gets a row with the status `crashed` under the lease_no of the claim, or `cancelled`; `steve.Crashed` in it tells that
-- no settlement wrote it. Then lease_no is raised, so that nothing that
-- the process still sends about the job matches. The log may have such a row already, written by hand or left from
-- another life of the job (forget_attempt.sql). `do nothing` skips it, so that one such row does not prevent the rescue of all
-- other jobs. least() and coalesce() are there for the same reason.
--
-- The jobs are found through the index job_claimed, which has the entries of one process together, and which only this
-- statement, review_claims.sql and find_claimed.sql may use. There is no order by uid, because the planner might then read all
-- jobs. The update uses the primary key. A job that is being settled at this moment is skipped. If it is still held later,
-- the next call finds it.
--
-- If a job has ended and somebody waits for jobs, the channel of the waits gets a notification.
--
-- The call that finds no more jobs ends the rescue: it deletes the row of a dead process, and marks that of a stalled one.
with culprit as materialized (
  select id, name
  from {schema}.process
  where id = %(id)s
    and (%(own)s or extract(epoch from heartbeat_at)::double precision = %(heartbeat_at)s)
    and (not %(dead)s or pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(%(lock)s || id, 0)))
  for update skip locked
), held as materialized (
  select uid, lease_no, attempts, claimed_at
  from {schema}.job
  where status = 'running' and process_id = (select id from culprit)
    and case
      when %(own)s then (uid, lease_no) in (select * from unnest(%(uids)s::pg_catalog.uuid[], %(lease_nos)s::bigint[]))
      else uid <> all(%(uids)s)
    end
  limit %(n)s
  for no key update skip locked
), rescued as (
  update {schema}.job
  set status = case
        when cancel_asked_at is not null then 'cancelled'
        when crashes + 1 >= %(max_crashes)s then 'failed'
        else 'pending'
      end,
      error = case
        when cancel_asked_at is not null then pg_catalog.concat_ws(': ', 'Cancelled', cancel_reason)
        when crashes + 1 >= %(max_crashes)s
        then pg_catalog.format('%%s; it is given up: %%s processes died while they held it', %(reason)s::pg_catalog.text, crashes + 1)
        else %(reason)s
      end,
      crashes = least(crashes + 1, attempts, 10000),
      lease_no = least(lease_no, 9223372036854775806) + 1,
      process_id = null,
      claimed_at = case when crashes + 1 >= %(max_crashes)s or cancel_asked_at is not null then claimed_at end,
      started_at = coalesce(started_at, claimed_at, pg_catalog.now()),
      completed_at = case when crashes + 1 >= %(max_crashes)s or cancel_asked_at is not null then pg_catalog.now() end,
      updated_at = pg_catalog.now()
  where uid = any(array(select uid from held)) and (status = 'running') is true
  returning
    uid, queue, type, priority, payload::pg_catalog.text as payload, error, attempts, crashes, max_attempts,
    backoff_strategy, backoff_base, backoff_max, backoff_jitter, created_at, run_at, started_at, completed_at, updated_at, status,
    {extras}
), logged as (
  insert into {schema}.attempt (
    job_uid, lease_no, number, process, started_at, completed_at, status, error_message, error_details, error_type
  )
  select
    held.uid, held.lease_no, held.attempts, culprit.name, coalesce(held.claimed_at, rescued.updated_at), rescued.updated_at,
    case when rescued.status = 'cancelled' then 'cancelled' else 'crashed' end,
    case when rescued.status = 'cancelled' then rescued.error else %(reason)s end,
    case when rescued.status = 'cancelled' then %(reason)s end,
    'steve.Crashed'
  from culprit, held
  join rescued using (uid)
  on conflict (job_uid, lease_no) do nothing
), buried as (
  delete from {schema}.process
  where id = (select id from culprit) and %(dead)s
    and not exists (select from {schema}.job where status = 'running' and process_id = %(id)s)
), marked as (
  update {schema}.process
  set suspected_at = pg_catalog.now()
  where id = (select id from culprit) and not %(dead)s and not %(own)s and not exists (select from held)
)
select
  uid, queue, type, priority, payload, error, rescued.attempts, crashes, max_attempts,
  backoff_strategy, backoff_base, backoff_max, backoff_jitter, held.lease_no, coalesce(held.claimed_at, updated_at),
  created_at, run_at, started_at, extras, updated_at, completed_at, status,
  (select pg_catalog.pg_notify(%(channel)s, 'back') where %(notify)s),
  (
    select pg_catalog.pg_notify(%(ended)s, '')
    where %(notify)s and exists (select from rescued where completed_at is not null)
      and exists (select from {schema}.waiter where until > pg_catalog.now())
  )
from rescued
join held using (uid)
