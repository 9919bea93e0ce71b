-- Delete a row of the log under a lease by which a process still holds the job. No settlement wrote the row, since a
-- settlement would also have ended the lease. Either an earlier job left it, and a truncate, a restore or a failover let the
-- same id and lease_no be given out again; or somebody wrote it by hand. The row must not keep the outcome from being
-- written.
delete from {schema}.attempt
where job_id = %(id)s and lease_no = %(lease_no)s
  and exists (
    select
    from {schema}.job
    where id = %(id)s and lease_no = %(lease_no)s and claimed_at = %(claimed_at)s::pg_catalog.timestamptz
      and (status = 'running') is true
  )
returning job_id
