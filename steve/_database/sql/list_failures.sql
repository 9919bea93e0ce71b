-- For failures(): the newest failed jobs of one type and queue (null: of all), with all of these tags, that failed since then,
-- with the beginning of their errors. Payloads and results are not read: 10,000 of them may be large.
select
  uid,
  type,
  coalesce(pg_catalog.left(error, %(error_most)s::integer), ''),
  coalesce(completed_at, updated_at)
from {schema}.job
where status = 'failed'
  and (%(since)s::pg_catalog.timestamptz is null or completed_at >= %(since)s::pg_catalog.timestamptz)
  and (%(type)s::pg_catalog.text is null or type = %(type)s::pg_catalog.text)
  and (%(queue)s::pg_catalog.text is null or queue = %(queue)s::pg_catalog.text)
  and (%(tags)s::pg_catalog.jsonb is null or tags @> %(tags)s::pg_catalog.jsonb)
order by uid desc
limit %(limit)s::bigint
