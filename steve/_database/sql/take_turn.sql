-- Take the turn in a duty of the whole fleet, or keep it. Nobody has it if the process that had it did not keep it for `every`: it
-- has done the duty, or it is dead. `mine` is what this statement returned to the process that has the turn, or null. Returns
-- since when the turn is kept, or nothing if another process has it. If two processes ask at once, the second waits for the
-- first one's row, and then finds the turn taken.
insert into {schema}.duty (name, kept_at)
values (%(name)s, pg_catalog.clock_timestamp())
on conflict (name) do update
set kept_at = excluded.kept_at
where duty.kept_at = %(mine)s::pg_catalog.timestamptz
  or duty.kept_at <= excluded.kept_at - %(every)s::interval
  or duty.kept_at > excluded.kept_at + %(every)s::interval   -- the server's clock was set back
returning kept_at
