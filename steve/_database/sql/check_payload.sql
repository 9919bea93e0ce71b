-- Whether this can be a payload: it writes nothing, so that no limit of the server's comes in between.
select %(payload)s::pg_catalog.jsonb is null
