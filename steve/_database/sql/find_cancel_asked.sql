-- The jobs of this process that somebody asked to cancel, for a process that missed the notification. The index job_cancel_asked
-- has these jobs alone, and no other statement uses it.
select uid
from {schema}.job
where status = 'running' and process_id = %(process_id)s and cancel_asked_at is not null
