-- Which process holds which job, according to the tables? Each process asks that once in each lease. Returns one row: the ids
-- of processes that hold jobs and had no row, and the claims of this process, as uids and lease_nos.
--
-- A process that holds jobs may have no row: the row was deleted, by hand or before a last claim of the process arrived, or it
-- was lost in a failover. A missing row does not prove that the process is dead, so the process is given one. If it lives, it
-- sends a heartbeat; if not, it counts as stalled after a lease. The query hops through job_claimed from one such process to
-- the next.
--
-- If this process finds a claim under its id that it does not know of, it frees the job (rescue_jobs.sql). Such a row was
-- restored from a dump, edited by hand, or lost its outcome in a failover. Otherwise it would stay `running` as long as this
-- process lives.
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
  select uid, lease_no
  from {schema}.job
  where status = 'running' and process_id = %(process_id)s
)
select
  array(select id from adopted),
  array(select uid from own order by uid),
  array(select lease_no::bigint from own order by uid)
