-- Listen for notifications, but only in the session that came with the connection. Behind a pooler the LISTEN would stay in a
-- session that others use.
do $$
begin
  if pg_catalog.pg_backend_pid() <> %(session)s then
    raise exception 'a connection pooler is in between';
  end if;
  perform pg_catalog.set_config('idle_session_timeout', '0', false);  -- a role may limit it, and this session idles
  listen %(channel)s;
end
$$
