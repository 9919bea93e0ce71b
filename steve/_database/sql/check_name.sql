-- Whether the database's encoding can hold this name: it could not even be sent otherwise.
select %(name)s::pg_catalog.text is null
