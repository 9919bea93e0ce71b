-- Limit what the rest of this transaction may take, and keep its plans on the indexes whatever the statistics say.
select
  pg_catalog.set_config('statement_timeout', %(patience)s, true),
  pg_catalog.set_config('lock_timeout', %(patience)s, true),
  pg_catalog.set_config('enable_seqscan', 'off', true),
  pg_catalog.set_config('enable_bitmapscan', 'off', true),
  pg_catalog.set_config('jit', 'off', true)
