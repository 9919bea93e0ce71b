-- Whether the database's encoding can hold this name. If it cannot, the name cannot even be sent.
select %(name)s::pg_catalog.text is null
