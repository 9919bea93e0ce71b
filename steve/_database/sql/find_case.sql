-- A job, for people who ask what keeps it from running: its row, the process that holds it, its last attempt, and who cancelled
-- it. Each is found by its key, and `canceller` through the index audit_at.
--
-- A call inside `acting_as` writes its row of the audit in its own transaction, right after the change. `cancel` names the job. A
-- `cancel_all` names what it was about, and has one row for all its transactions, with the time of the first.
select
  job.status, job.queue, job.type, job.priority, job.run_at, job.attempts, job.crashes, job.max_attempts, job.error,
  job.claimed_at, job.started_at, job.completed_at, job.expires_at, job.timeout, job.cancel_asked_at, job.cancel_reason,
  job.process_id, job.process,
  pg_catalog.clock_timestamp() as now,
  holder.id, holder.name, holder.version, holder.started_at, holder.heartbeat_at,
  extract(epoch from pg_catalog.clock_timestamp() - holder.heartbeat_at)::double precision,
  holder.lease::double precision, holder.suspected_at is not null, holder.info::pg_catalog.text,
  last.status, last.process, last.completed_at,
  canceller.actor, canceller.action
from {schema}.job
left join {schema}.process as holder on holder.id = job.process_id
left join lateral (
  select attempt.status, attempt.process, attempt.completed_at
  from {schema}.attempt
  where attempt.job_uid = job.uid
  order by attempt.lease_no desc
  limit 1
) as last on true
left join lateral (
  select audit.actor, audit.action
  from {schema}.audit
  where audit.at > coalesce(job.cancel_asked_at, job.completed_at) - pg_catalog.make_interval(mins => 10)
    and audit.at < coalesce(job.cancel_asked_at, job.completed_at) + pg_catalog.make_interval(secs => 30)
    and (job.cancel_asked_at is not null or job.status = 'cancelled')
    and case audit.action
      when 'cancel' then audit.filter ->> 'job' = job.uid::pg_catalog.text
      when 'cancel_all' then coalesce(audit.filter ->> 'type', job.type) = job.type
        and coalesce(audit.filter ->> 'queue', job.queue) = job.queue
      else false
    end
  order by audit.action, audit.at desc
  limit 1
) as canceller on true
where job.uid = %(uid)s
