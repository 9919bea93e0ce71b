-- What became of the transaction with this number: `committed`, `aborted`, `in progress`, or null if it is too old to tell. A
-- server that was promoted may not have seen it: then the number lies in its future, and is refused with 22023.
select pg_catalog.pg_xact_status(%(transaction)s::pg_catalog.xid8)
