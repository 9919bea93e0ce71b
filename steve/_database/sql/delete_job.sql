-- Delete a job that has ended, with its rows in the log. Returns it as it was; nothing if it has another status or if there is
-- none.
with deleted as (
  delete from {schema}.job
  where uid = %(uid)s and (status in ('completed', 'failed', 'cancelled')) is true
  returning
    {job}
), forgotten as (
  delete from {schema}.attempt
  where job_uid = any(array(select uid from deleted))
)
select *
from deleted
