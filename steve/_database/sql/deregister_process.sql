-- This process has stopped: delete its row. If the tables say that it still holds a job, the row stays, because other
-- processes need it to notice the end of the process and to rescue the job.
delete from {schema}.process
where id = %(id)s and not exists (select from {schema}.job where status = 'running' and process_id = %(id)s)
returning id
