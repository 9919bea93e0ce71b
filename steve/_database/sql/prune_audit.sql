-- Delete the rows of the audit that are older than `older_than`.
delete from {schema}.audit
where pg_catalog.now() - at >= %(older_than)s
returning uid
