-- Delete up to n rows of each length whose span ended longer ago than rows of this length are kept. Returns how many were deleted.
with old as materialized (
  select figures.place
  from unnest(%(lengths)s::smallint[], %(kept)s::interval[]) as length (minutes, kept)
  cross join lateral (
    select ctid as place
    from {schema}.stat
    where stat.minutes = length.minutes and stat.at < pg_catalog.now() - length.kept - length.minutes * interval '1 minute'
    order by stat.at
    limit %(n)s
    for update skip locked
  ) as figures
), pruned as (
  delete from {schema}.stat
  where ctid = any(array(select place from old)) and minutes > 0
  returning minutes
)
select pg_catalog.count(*)
from pruned
