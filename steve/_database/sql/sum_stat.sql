-- The sums of these pieces of time for each queue and type, of one queue and type if they are given (null: of all). The histograms
-- come as text: `numeric` has more digits than psycopg's binary form is quick to read.
with piece as materialized (
  select *
  from unnest(%(minutes)s::smallint[], %(sinces)s::pg_catalog.timestamptz[], %(untils)s::pg_catalog.timestamptz[])
    as t (minutes, since, until)
)
select
  figures.queue, figures.type,
  pg_catalog.sum(figures.completed)::bigint, pg_catalog.sum(figures.failed)::bigint,
  pg_catalog.sum(figures.cancelled)::bigint, pg_catalog.sum(figures.retried)::bigint,
  pg_catalog.sum(figures.crashed)::bigint, pg_catalog.sum(figures.run_us)::bigint, pg_catalog.sum(figures.wait_us)::bigint,
  pg_catalog.sum(figures.run_hist)::pg_catalog.text, pg_catalog.sum(figures.wait_hist)::pg_catalog.text
from piece
cross join lateral (
  select queue, type, completed, failed, cancelled, retried, crashed, run_us, wait_us, run_hist, wait_hist
  from {schema}.stat
  where stat.minutes = piece.minutes and stat.at >= piece.since and stat.at < piece.until
    and (%(queue)s::pg_catalog.text is null or stat.queue = %(queue)s::pg_catalog.text)
    and (%(type)s::pg_catalog.text is null or stat.type = %(type)s::pg_catalog.text)
) as figures
group by figures.queue, figures.type
