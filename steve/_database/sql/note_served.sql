-- Note that this process has handlers for these types, for people who later ask which process had one: find_served.sql. What is
-- noted about a type stays as it is for `renewal`, so that the processes of a fleet do not all write the same rows. What nobody has
-- renewed for 90 days is deleted. In the order of the types, so that two processes cannot wait for each other in a circle.
with old as (
  delete from {schema}.served
  where at < pg_catalog.now() - pg_catalog.make_interval(days => 90) and type <> all(%(types)s::pg_catalog.text[])
)
insert into {schema}.served (type, process, at)
select type, %(process)s, pg_catalog.now()
from unnest(%(types)s) as given (type)
order by type
on conflict (type) do update
set process = excluded.process, at = excluded.at
where served.at < pg_catalog.now() - %(renewal)s
returning type
