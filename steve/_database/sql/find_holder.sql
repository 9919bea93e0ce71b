-- The job with this key that has not ended. There is at most one.
select {job}
from {schema}.job
where unique_key = %(key)s and status not in ('completed', 'failed', 'cancelled')
