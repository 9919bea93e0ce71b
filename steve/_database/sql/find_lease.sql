-- Under which lease a job is held now, or was held last, as this transaction sees it. `is_same`: the claim has the time of the
-- one that is asked about.
select status, lease_no, (claimed_at = %(claimed_at)s::pg_catalog.timestamptz) is true as is_same
from {schema}.job
where uid = %(uid)s::pg_catalog.uuid
