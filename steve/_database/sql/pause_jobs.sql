-- Pause the jobs of a queue, of a type, of a type in a queue, or, where both are null, all jobs. If they are paused already, the
-- new time, reason and actor stand, and `since` stays. Returns the pause. Pauses that are over are deleted.
with over as (
  delete from {schema}.pause
  where until <= pg_catalog.clock_timestamp()
    and (queue, type) is distinct from (%(queue)s::pg_catalog.text, %(type)s::pg_catalog.text)
)
insert into {schema}.pause as known (queue, type, until, reason, by)
values (%(queue)s, %(type)s, %(until)s, %(reason)s, %(by)s)
on conflict (queue, type) do update
set since = case when known.until <= excluded.since then excluded.since else known.since end,
    until = excluded.until,
    reason = excluded.reason,
    by = excluded.by
returning
  queue, type, since, until, reason, by,
  case when %(notify)s and pg_catalog.pg_notification_queue_usage() < 0.5
    then pg_catalog.pg_notify(%(channel)s, '')
  end
