-- Store a schedule, or write down one that is in the code of this process. It changes nothing if the table says the same
-- already, so a deploy that says it again loses no tick. A schedule in code never takes the place of a stored one. A new
-- schedule, and one that has other ticks now, fires nothing for the past: its first tick comes after `now`, or after the
-- database's time.
insert into {schema}.schedule (
  name, stored, version, cron, every, timezone, catch_up, latest, overlap, jitter, type, payload, terms, last_tick
)
values (
  %(name)s, %(stored)s, %(version)s, %(cron)s, %(every)s::interval, %(timezone)s, %(catch_up)s::interval, %(latest)s, %(overlap)s,
  %(jitter)s, %(type)s, %(payload)s::pg_catalog.jsonb, %(terms)s::pg_catalog.jsonb,
  coalesce(%(now)s::pg_catalog.timestamptz, pg_catalog.clock_timestamp())
)
on conflict (name) do update
set stored = excluded.stored, version = excluded.version, cron = excluded.cron, every = excluded.every,
    timezone = excluded.timezone, catch_up = excluded.catch_up, latest = excluded.latest, overlap = excluded.overlap,
    jitter = excluded.jitter, type = excluded.type, payload = excluded.payload, terms = excluded.terms,
    last_tick = case
      when (schedule.cron, schedule.every, schedule.timezone) is not distinct from (excluded.cron, excluded.every, excluded.timezone)
        then schedule.last_tick
      else greatest(schedule.last_tick, excluded.last_tick)
    end
where (excluded.stored or not schedule.stored)
  and (schedule.version <> excluded.version or schedule.stored <> excluded.stored)
returning
  name,
  case when %(notify)s and pg_catalog.pg_notification_queue_usage() < 0.5
    then pg_catalog.pg_notify(%(channel)s, 'schedules')
  end
