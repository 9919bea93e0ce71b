-- Whether this server is a standby, for a process that reads and never writes.
select pg_catalog.pg_is_in_recovery()
