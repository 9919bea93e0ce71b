-- Hear notifications, in the session that was promised when the connection was opened and in no other: a pooler would keep it.
do $$
begin
  if pg_catalog.pg_backend_pid() <> %(session)s then
    raise exception 'a connection pooler is in between';
  end if;
  perform pg_catalog.set_config('idle_session_timeout', '0', false);  -- of a role: it waits for long
  listen %(channel)s;
end
$$
