-- Begin a duty of the whole fleet, unless a process began it less than `every` ago. Returns a row if this process is to do it. If
-- two processes ask at once, the second waits for the first one's row, and then finds that it is too early.
insert into {schema}.duty (name, begun_at)
values (%(name)s, pg_catalog.now())
on conflict (name) do update
set begun_at = excluded.begun_at
where duty.begun_at <= excluded.begun_at - %(every)s::interval
  or duty.begun_at > excluded.begun_at + %(every)s::interval   -- the server's clock was set back
returning name
