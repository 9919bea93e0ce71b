-- Running jobs whose process has no row: it was deleted while a last claim of that process was still on its way, or by hand,
-- or lost with a failover. A missing row says nothing, so it gets one: if the process lives, it beats; if not, it is found
-- stalled after a lease. By hops through job_claimed, one for each process.
with recursive holder as (
  (
    select process_id
    from {schema}.job
    where status = 'running'
    order by process_id
    limit 1
  )
  union all
  select next.process_id
  from holder
  cross join lateral (
    select process_id
    from {schema}.job
    where status = 'running' and process_id > holder.process_id
    order by process_id
    limit 1
  ) next
)
insert into {schema}.process (id, name, version, lease)
overriding system value
select process_id, 'process ' || process_id, '', %(lease)s
from holder
where not exists (select from {schema}.process where id = process_id)
on conflict (id) do nothing
returning id
