-- What the database gave to jobs that are stored already, for a caller whose reply was lost. Reads only columns that a role may
-- read that only creates jobs. Where a job has been claimed meanwhile, updated_at and run_at are the later ones.
select uid, id, created_at, updated_at, run_at
from {schema}.job
where uid = any(%(uids)s::pg_catalog.uuid[])
