-- A page of jobs, newest first, with uids below `before`, of one status, type and queue (null: of all), with all of these tags.
-- If few jobs have the tags, the index job_tags finds them; if many do, the walk along the primary key soon meets enough.
select
  {job}
from {schema}.job
where (%(before)s::pg_catalog.uuid is null or uid < %(before)s::pg_catalog.uuid)
  and (%(status)s::pg_catalog.text is null or status = %(status)s::pg_catalog.text)
  and (%(type)s::pg_catalog.text is null or type = %(type)s::pg_catalog.text)
  and (%(queue)s::pg_catalog.text is null or queue = %(queue)s::pg_catalog.text)
  and (%(tags)s::pg_catalog.jsonb is null or tags @> %(tags)s::pg_catalog.jsonb)
order by uid desc
limit %(limit)s::bigint
