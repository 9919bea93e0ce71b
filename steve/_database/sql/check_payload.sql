-- Whether this can be a payload. The statement writes nothing, so no limit of the server's interferes.
select %(payload)s::pg_catalog.jsonb is null
