-- Store many jobs that have keys, or one whose key has a window. A job is left out, and not returned, if it is sent again, or
-- if its key is taken: then find_unique.sql tells by what, in a new statement. All rows are inserted in the order of their
-- keys, so that two such statements wait for each other in one direction only.
--
-- A window is opened together with its job, unless one is open. The update of a window that is over waits for another create
-- of the same key, and then finds its window open. The two looks before it spare that in most cases: an `on conflict do update`
-- locks the row even if its condition does not hold, to the end of the caller's transaction. If a job without a window takes
-- the key at this very moment, the window is opened and no job is inserted: close_windows.sql.
with {given}, opened as (
  insert into {schema}.unique_window as opened (key, until, uid)
  select new_key, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => new_window), new_uid
  from given
  where new_window is not null
    and not exists (select from {schema}.job where uid = new_uid)
    and not exists (
      select from {schema}.job where unique_key = new_key and status not in ('completed', 'failed', 'cancelled')
    )
    and not exists (select from {schema}.unique_window where key = new_key and until > pg_catalog.clock_timestamp())
  order by new_key collate "C"
  on conflict (key) do update
  set until = excluded.until, uid = excluded.uid
  where opened.until <= pg_catalog.clock_timestamp()
  returning key
)
{insert}
from given
where new_window is null or new_key in (select key from opened)
order by new_key collate "C"
on conflict do nothing
returning
  uid, created_at, updated_at, run_at, expires_at,
  case when %(notify)s::boolean and (not %(sparing)s::boolean or pg_catalog.pg_notification_queue_usage() < 0.5)
    then pg_catalog.pg_notify(%(channel)s, '')
  end
