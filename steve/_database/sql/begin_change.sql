-- Begin a transaction of which another session can ask later whether it was committed: check_change.sql. Returns its number. It
-- will hold locks on rows, so PostgreSQL ends it if its client falls silent.
select
  pg_catalog.pg_current_xact_id()::pg_catalog.text,
  pg_catalog.set_config('idle_in_transaction_session_timeout', '10s', true)
