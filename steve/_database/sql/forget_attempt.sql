-- Delete a row of the log that is there under the very lease by which a process still holds the job. No settlement of that
-- lease wrote it: a settlement would have ended the lease as well. The row was left by another life of the job, before a
-- truncate, a restore or a failover gave its id and its lease_no out again, or was written by hand. It must not keep the
-- outcome from being written.
delete from {schema}.attempt
where job_id = %(id)s and lease_no = %(lease_no)s
  and exists (
    select
    from {schema}.job
    where id = %(id)s and lease_no = %(lease_no)s and claimed_at = %(claimed_at)s::pg_catalog.timestamptz
      and (status = 'running') is true
  )
returning job_id
