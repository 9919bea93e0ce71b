-- Schedules with what they say, and the status of the job that each created last. `names`: null for all of them.
select
  name, stored, version, cron, every, timezone, catch_up, latest, overlap, jitter, type,
  payload::pg_catalog.text, terms::pg_catalog.text, last_tick, last_run_at, last_job, paused_at,
  (select job.status from {schema}.job where job.uid = schedule.last_job), pg_catalog.clock_timestamp()
from {schema}.schedule
where %(names)s::pg_catalog.text[] is null or name = any(%(names)s::pg_catalog.text[])
order by name
