-- How many seconds until the first pending job is due, of whatever queue and type (null: none is pending), and how long it took to
-- find that out. An idle process asks this before it claims. A claim that finds nothing costs three to five times as much: most of
-- that is the set-up of its plan, which has some forty nodes and opens all indexes of the table.
--
-- `head` hops from one priority to the next and takes the first job of each, until one of these is due.
with recursive head as (
  (
    select priority, run_at
    from only {schema}.job
    where status = 'pending'
    order by priority desc, run_at, uid
    limit 1
  )
  union all
  select next.*
  from head
  cross join lateral (
    select priority, run_at
    from only {schema}.job
    where status = 'pending' and priority < head.priority
    order by priority desc, run_at, uid
    limit 1
  ) next
  where head.run_at > pg_catalog.now()
)
select
  extract(epoch from pg_catalog.min(run_at) - pg_catalog.now())::double precision,
  extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.now())::double precision
from head
