-- What the database added to jobs that are stored already, for a caller whose reply was lost. It reads only columns that a
-- role for producers may read. If a job has been claimed meanwhile, updated_at and run_at may be later than when it was
-- stored.
select uid, created_at, updated_at, run_at, expires_at
from {schema}.job
where uid = any(%(uids)s::pg_catalog.uuid[])
