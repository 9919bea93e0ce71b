-- Wake whoever waits for jobs. Not while the database's queue of notifications is half full, as when a session that listens
-- somewhere does not read: where this is part of a caller's transaction, its commit would fail with the queue.
select pg_catalog.pg_notify(%(channel)s, '')
where pg_catalog.pg_notification_queue_usage() < 0.5
