-- Where a call for many jobs ends: the highest uid, and the time by the server's clock. Both are needed, because a process whose
-- clock is behind creates jobs below that uid later.
select
  (select uid from {schema}.job order by uid desc limit 1),
  pg_catalog.clock_timestamp()
