-- How full the queue of notifications is. To ask has PostgreSQL throw away what every session has read.
select pg_catalog.pg_notification_queue_usage()
