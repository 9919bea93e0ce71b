-- Give a pending job another priority. Returns the job as it is then; nothing if it has another status or if there is none. The
-- job may now be below the watermark of that priority, so the notification is `back`: every process looks from the beginning.
update {schema}.job
set priority = %(priority)s::smallint,
    updated_at = pg_catalog.statement_timestamp()
where uid = %(uid)s::pg_catalog.uuid and (status = 'pending') is true
returning
  {job},
  case when %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
    then pg_catalog.pg_notify(%(channel)s, 'back')
  end
