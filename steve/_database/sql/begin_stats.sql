-- Begin the reading of stats(): none of its statements may take long, whatever the role's settings are, and none may read job from
-- end to end. Returns the time, and about how many jobs are pending, by PostgreSQL's statistics; -1: it does not know.
select
  pg_catalog.clock_timestamp(),
  (select reltuples from pg_catalog.pg_class where oid = %(pending)s::pg_catalog.regclass)::bigint,
  pg_catalog.set_config('statement_timeout', %(timeout)s, true),
  pg_catalog.set_config('enable_seqscan', 'off', true),
  pg_catalog.set_config('enable_bitmapscan', 'off', true)
