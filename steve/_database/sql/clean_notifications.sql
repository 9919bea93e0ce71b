-- How full the queue of notifications is. This question makes PostgreSQL remove the notifications that all sessions have
-- read.
select pg_catalog.pg_notification_queue_usage()
