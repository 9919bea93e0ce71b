-- Whether PostgreSQL can hold this payload: if not, the statement fails. It writes nothing, so limits on writing do not
-- matter.
select %(payload)s::pg_catalog.jsonb is null
