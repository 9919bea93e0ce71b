-- This process seems to be dead: the lock of its row is free. Written down for those who look next; its heartbeat clears it.
-- Nothing if it has beaten since it was seen.
update {schema}.process
set suspected_at = pg_catalog.now()
where id = %(id)s and suspected_at is null and extract(epoch from heartbeat_at)::double precision = %(heartbeat_at)s
  and pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(%(lock)s || id, 0))
returning extract(epoch from suspected_at)::double precision
