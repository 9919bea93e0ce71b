-- Delete the rows of the audit that are older than `older_than`.
delete from {schema}.audit
where at <= pg_catalog.now() - %(older_than)s
returning uid
