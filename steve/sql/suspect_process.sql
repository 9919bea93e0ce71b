-- This process seems to be dead: the lock of its row is free. Written down for whoever looks next; its heartbeat clears it.
-- Nothing if it has beaten since it was seen.
update {schema}.process
set suspected_at = now()
where id = %(id)s and suspected_at is null and extract(epoch from heartbeat_at)::float8 = %(heartbeat_at)s
  and pg_try_advisory_xact_lock(hashtextextended(%(lock)s || id, 0))
returning id
