-- Somebody has made a schedule run now: the job with this uid is its last one. Returns its name; nothing if there is none.
update {schema}.schedule
set last_job = %(uid)s, last_run_at = %(at)s
where name = %(name)s
returning name
