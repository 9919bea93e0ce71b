-- This process has stopped: delete its row, unless the tables say that it still holds a job. Other processes need the row to
-- notice its end and to rescue that job.
delete from {schema}.process
where id = %(id)s and not exists (select from {schema}.job where status = 'running' and process_id = %(id)s)
returning id
