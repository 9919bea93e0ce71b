-- Where a call for many jobs ends: the highest uid, and the time by the server's clock. Both are needed, because a process whose
-- clock is behind creates jobs below that uid later. And where its batches may end: uids that divide the jobs into parts of one
-- size, as the planner's statistics have them (null: there are none yet), with the number of jobs that they are about.
select
  (select uid from {schema}.job order by uid desc limit 1) as last,
  pg_catalog.clock_timestamp() as begun_at,
  (
    select histogram_bounds::pg_catalog.text::pg_catalog.uuid[]
    from pg_catalog.pg_stats
    where schemaname = %(schema)s and tablename = 'job' and attname = 'uid' and not inherited
  ) as parts,
  (select reltuples from pg_catalog.pg_class where oid = %(job)s::pg_catalog.regclass)
