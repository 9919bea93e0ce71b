-- Whether the database's encoding can hold this name. If it cannot, the statement fails.
select %(name)s::pg_catalog.text is null
