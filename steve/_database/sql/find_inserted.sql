-- What jobs that are there already were given, for whoever stored them and did not hear: of columns that a role may read that
-- only creates jobs. Where they have been claimed meanwhile, updated_at and run_at are the later ones.
select uid, id, created_at, updated_at, run_at
from {schema}.job
where uid = any(%(uids)s::pg_catalog.uuid[])
