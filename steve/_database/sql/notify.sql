-- Wake the workers that wait for jobs, but not while the database's queue of notifications is half full, as when a session that
-- listens somewhere does not read. If the queue filled up, a caller whose transaction this is part of could not commit.
select pg_catalog.pg_notify(%(channel)s, '')
where pg_catalog.pg_notification_queue_usage() < 0.5
