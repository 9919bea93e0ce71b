-- End the pause of exactly this queue and type, either of which may be null. Returns the pause as it was; nothing if there is
-- none, or if it is over.
with ended as (
  delete from {schema}.pause
  where (queue, type) is not distinct from (%(queue)s::pg_catalog.text, %(type)s::pg_catalog.text)
  returning queue, type, since, until, reason, by
)
select
  queue, type, since, until, reason, by,
  case when %(notify)s and pg_catalog.pg_notification_queue_usage() < 0.5
    then pg_catalog.pg_notify(%(channel)s, '')
  end
from ended
where until is null or until > pg_catalog.clock_timestamp()
