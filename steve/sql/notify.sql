-- Wake whoever waits for jobs.
select pg_notify(%(channel)s, '')
