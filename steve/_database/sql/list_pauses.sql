-- What is paused now, in the order in which it was. `seconds`: how many are left; null: until somebody resumes.
select
  queue, type, since, until, reason, by,
  extract(epoch from until - pg_catalog.clock_timestamp())::double precision as seconds
from {schema}.pause
where until is null or until > pg_catalog.clock_timestamp()
order by since, queue, type
