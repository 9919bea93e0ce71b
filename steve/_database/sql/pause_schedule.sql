-- Pause a schedule, or resume it. What would have run during the pause does not run later. Returns its name; nothing if there
-- is none.
update {schema}.schedule
set paused_at = case when %(paused)s then coalesce(paused_at, pg_catalog.clock_timestamp()) end,
    last_tick = case
      when %(paused)s or paused_at is null then last_tick
      else greatest(last_tick, pg_catalog.clock_timestamp())
    end
where name = %(name)s
returning
  name,
  case when %(notify)s and pg_catalog.pg_notification_queue_usage() < 0.5
    then pg_catalog.pg_notify(%(channel)s, 'schedules')
  end
