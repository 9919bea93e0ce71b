-- Tell the processes that wait for jobs that some have ended, if a settlement has not done so itself.
select pg_catalog.pg_notify(%(ended)s, '')
where pg_catalog.pg_notification_queue_usage() < 0.5
