-- Listen for notifications, in the session that the connection was opened with and in no other: a pooler would keep the LISTEN
-- in a session that others use.
do $$
begin
  if pg_catalog.pg_backend_pid() <> %(session)s then
    raise exception 'a connection pooler is in between';
  end if;
  perform pg_catalog.set_config('idle_session_timeout', '0', false);  -- a role may set it, and this session waits for long
  listen %(channel)s;
end
$$
