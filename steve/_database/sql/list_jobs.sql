-- A page of jobs, newest first, with uids below `before`, of one status, type and queue (null: of all), with all of these tags,
-- an error that contains this text, and created and ended between these times.
-- The index job_failed finds those that failed or were cancelled. If few jobs have the tags, the index job_tags finds them; if many do, the walk along the primary key soon meets enough.
select
  {job}
from {schema}.job
where (%(before)s::pg_catalog.uuid is null or uid < %(before)s::pg_catalog.uuid)
  and (%(status)s::pg_catalog.text is null or status = %(status)s::pg_catalog.text)
  and (%(type)s::pg_catalog.text is null or type = %(type)s::pg_catalog.text)
  and (%(queue)s::pg_catalog.text is null or queue = %(queue)s::pg_catalog.text)
  and (%(tags)s::pg_catalog.jsonb is null or tags @> %(tags)s::pg_catalog.jsonb)
  and (%(error)s::pg_catalog.text is null or pg_catalog.strpos(error, %(error)s::pg_catalog.text) > 0)
  and (%(created_before)s::pg_catalog.timestamptz is null or created_at < %(created_before)s::pg_catalog.timestamptz)
  and (%(created_after)s::pg_catalog.timestamptz is null or created_at >= %(created_after)s::pg_catalog.timestamptz)
  and (%(ended_before)s::pg_catalog.timestamptz is null or completed_at < %(ended_before)s::pg_catalog.timestamptz)
  and (%(ended_after)s::pg_catalog.timestamptz is null or completed_at >= %(ended_after)s::pg_catalog.timestamptz)
order by uid desc
limit %(limit)s::bigint
