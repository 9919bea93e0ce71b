-- Make a pending job due at `run_at` or, where that is null, in `delay`. Returns the job as it is then; nothing if it has another
-- status or if there is none. A time that is past means now, as in insert_job.sql: so no job becomes due below the watermarks.
update {schema}.job
set run_at = greatest(
      coalesce(%(run_at)s::pg_catalog.timestamptz, pg_catalog.statement_timestamp() + %(delay)s::interval),
      pg_catalog.statement_timestamp()
    ),
    updated_at = pg_catalog.statement_timestamp()
where uid = %(uid)s::pg_catalog.uuid and (status = 'pending') is true
returning
  {job},
  case when %(notify)s::boolean and pg_catalog.pg_notification_queue_usage() < 0.5
    then pg_catalog.pg_notify(%(channel)s, '')
  end
