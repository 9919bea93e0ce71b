-- Move up to n rows that single processes have written into the sums of all: of the minute, of ten minutes, of the hour and of the
-- day. Returns how many were moved. Only rows of minutes that have been over for a minute are moved, since the others are still
-- written. But it does no harm if a process writes such a row later: it adds to nothing then, and is moved in its turn.
--
-- One statement moves a row into all four sums, so it is in all of them or in none. Two processes may do this at once: each skips
-- the rows that the other one has locked, and both change the sums in one order, so that neither waits for the other in a circle.
with due as materialized (
  select ctid as place
  from {schema}.stat
  where minutes = 0 and at <= pg_catalog.now() - interval '2 minutes'
  order by at, queue, type, process_id
  limit %(n)s
  for update skip locked
), moved as (
  delete from {schema}.stat
  where ctid = any(array(select place from due)) and minutes = 0
  returning at, queue, type, completed, failed, cancelled, retried, crashed, run_us, wait_us, run_hist, wait_hist
), merged as (
  insert into {schema}.stat (
    minutes, at, process_id, queue, type, completed, failed, cancelled, retried, crashed, run_us, wait_us, run_hist, wait_hist
  )
  select
    length.minutes,
    pg_catalog.date_bin(length.minutes * interval '1 minute', moved.at, '2000-01-01 00:00:00+00') as begins,
    0, queue, type,
    pg_catalog.sum(completed), pg_catalog.sum(failed), pg_catalog.sum(cancelled), pg_catalog.sum(retried),
    pg_catalog.sum(crashed), pg_catalog.sum(run_us), pg_catalog.sum(wait_us), pg_catalog.sum(run_hist), pg_catalog.sum(wait_hist)
  from moved
  cross join unnest(%(lengths)s::smallint[]) as length (minutes)
  group by length.minutes, begins, queue, type
  order by length.minutes, begins, queue, type
  on conflict (minutes, at, queue, type, process_id) do update
  set {sums}
)
select pg_catalog.count(*)
from moved
