-- Write who did what, in the transaction of what was done. A call in several transactions adds to its row with each of them.
insert into {schema}.audit (uid, actor, action, filter, done)
values (%(uid)s::pg_catalog.uuid, %(actor)s, %(action)s, %(filter)s::pg_catalog.jsonb, %(done)s::bigint)
on conflict (uid) do update
set done = audit.done + excluded.done
returning uid
