-- Hear notifications, in the session that was promised when the connection was opened and in no other: a pooler would keep it.
do $$
begin
  if pg_catalog.pg_backend_pid() <> %(session)s then
    raise exception 'a connection pooler is in between';
  end if;
  listen %(channel)s;
end
$$
