-- Wake the workers that wait for jobs. Nothing is sent while the server's queue of notifications is at least half full, which
-- happens if a session that listens does not read. If this is part of a caller's transaction and the queue filled up, the
-- caller could not commit.
select pg_catalog.pg_notify(%(channel)s, '')
where pg_catalog.pg_notification_queue_usage() < 0.5
