-- How full the queue of notifications is. Asking for it makes PostgreSQL remove what every session has read.
select pg_catalog.pg_notification_queue_usage()
