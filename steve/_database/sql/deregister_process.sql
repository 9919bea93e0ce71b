-- This process works no more. Its row stays where it holds a job by the tables: by the row others notice its end, and rescue
-- that.
delete from {schema}.process
where id = %(id)s and not exists (select from {schema}.job where status = 'running' and process_id = %(id)s)
returning id
