-- Fire all ticks that are due: move last_tick and create the jobs, in one statement. `given` has a job for each tick.
--
-- Many processes send this for the same ticks at the same moment. A row that another one has locked is passed over: without
-- `skip locked` they would queue behind each other at each full hour, only to find that there is nothing left to do. A row that
-- another one has changed since this process looked at it is left alone, and the process looks again: version, last_tick and
-- last_job in `due` are what it found there. So no tick is fired twice, none is fired that was computed from a stored definition
-- that has changed, and none after somebody has paused the schedule.
--
-- Of a schedule in code, each process fires the ticks of its own code, whatever version the row has. So while old and new code run
-- side by side, the ticks of both are fired, each once. If only the version in the row counted, a new process that is withdrawn
-- again would stop the schedule, because the old ones do not write theirs a second time.
--
-- A schedule with overlap = 'skip' creates no job while its last one has not ended, and moves on to the next tick. The status is
-- that of this statement's snapshot. The job is the last one, since a newer one would have changed last_job. (It is not asked
-- with `exists`, which could be planned as a scan of all jobs.)
--
-- Returns a row for each job, and one without a uid for each tick that was skipped.
with {given}, due as materialized (
  select *
  from unnest(
    %(uids)s::pg_catalog.uuid[], %(names)s::pg_catalog.text[], %(ticks)s::pg_catalog.timestamptz[],
    %(versions)s::pg_catalog.text[], %(last_ticks)s::pg_catalog.timestamptz[], %(last_jobs)s::pg_catalog.uuid[]
  ) as due (uid, name, tick, version, last_tick, last_job)
), held as materialized (
  select
    name, version, last_tick, last_job,
    overlap = 'skip' and coalesce(
      (select job.status from {schema}.job where job.uid = schedule.last_job) not in ('completed', 'failed', 'cancelled'),
      false
    ) as is_running
  from {schema}.schedule
  where name = any(%(names)s::pg_catalog.text[]) and paused_at is null
  for no key update skip locked
), fired as materialized (
  select due.uid, due.name, due.tick, held.is_running
  from due
  join held on held.name = due.name
    and held.version = due.version
    and held.last_tick = due.last_tick
    and held.last_job is not distinct from due.last_job
), newest as materialized (
  select distinct on (name) uid, name, tick, is_running
  from fired
  order by name, tick desc
), moved as (
  update {schema}.schedule
  set last_tick = newest.tick,
      last_run_at = case when newest.is_running then schedule.last_run_at else newest.tick end,
      last_job = case when newest.is_running then schedule.last_job else newest.uid end
  from newest
  where schedule.name = newest.name
  returning schedule.name
), inserted as (
  {insert}
  from given
  join fired on fired.uid = new_uid
  where not fired.is_running
  order by new_uid
  returning uid
)
select
  fired.name, fired.tick, inserted.uid,
  case when %(notify)s and inserted.uid is not null and pg_catalog.pg_notification_queue_usage() < 0.5
    then pg_catalog.pg_notify(%(channel)s, '')
  end
from fired
join moved on moved.name = fired.name
left join inserted on inserted.uid = fired.uid
