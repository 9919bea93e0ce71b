-- Mark a process as suspected for all who look at it later: the lock of its row is free, so it seems to be dead. Its next
-- heartbeat clears the mark. Nothing is written if it has sent a heartbeat since it was seen.
update {schema}.process
set suspected_at = pg_catalog.now()
where id = %(id)s and suspected_at is null and extract(epoch from heartbeat_at)::double precision = %(heartbeat_at)s
  and pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(%(lock)s || id, 0))
returning extract(epoch from suspected_at)::double precision
