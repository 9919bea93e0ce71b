-- Mark a process that seems to be dead, since the lock of its row is free, for the processes that look next. The next heartbeat
-- of the process clears the mark. Nothing is written if it has sent one since it was seen.
update {schema}.process
set suspected_at = pg_catalog.now()
where id = %(id)s and suspected_at is null and extract(epoch from heartbeat_at)::double precision = %(heartbeat_at)s
  and pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(%(lock)s || id, 0))
returning extract(epoch from suspected_at)::double precision
