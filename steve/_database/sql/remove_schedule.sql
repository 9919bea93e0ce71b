-- Remove a schedule. Its jobs stay. Returns its name; nothing if there is none.
delete from {schema}.schedule
where name = %(name)s
returning
  name,
  case when %(notify)s and pg_catalog.pg_notification_queue_usage() < 0.5
    then pg_catalog.pg_notify(%(channel)s, 'schedules')
  end
