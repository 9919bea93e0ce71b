-- Once a lease: which process holds which job, according to the tables? One row: the ids of processes that hold jobs and had no
-- row, and the claims of this process, as (id, lease_no).
--
-- A process's row is missing when it was deleted while a last claim of that process was still on its way, or by hand, or was
-- lost with a failover. A missing row proves nothing, so the process gets one: if it lives, it sends a heartbeat; if not, it is
-- found stalled after a lease. The holders are found by hops through job_claimed, one for each process.
--
-- If this process finds a claim of its own that it does not know of, it frees the job (rescue_jobs.sql). Otherwise rows that
-- were put back from a dump, edited by hand, or lost their outcome in a failover would be `running` for as long as this process
-- lives.
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
), adopted as (
  insert into {schema}.process (id, name, version, lease)
  select process_id, 'process ' || process_id, '', %(lease)s
  from holder
  where not exists (select from {schema}.process where id = process_id)
  on conflict (id) do nothing
  returning id
), own as (
  select id, lease_no
  from {schema}.job
  where status = 'running' and process_id = %(process_id)s
)
select
  array(select id from adopted),
  array(select id from own order by id),
  array(select lease_no from own order by id)
