-- In this transaction, no statement waits longer than this for a lock.
select pg_catalog.set_config('lock_timeout', %(patience)s, true)
