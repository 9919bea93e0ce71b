-- Delete a row of the log under a lease by which a process still holds the job. No settlement wrote the row, since a
-- settlement would also have ended the lease. Either it was left from another life of the job: the job's row was restored from
-- a dump, or set back by hand, and the log was not; or somebody wrote it by hand. The row must not keep the outcome from
-- being written.
delete from {schema}.attempt
where job_uid = %(uid)s and lease_no = %(lease_no)s
  and exists (
    select
    from {schema}.job
    where uid = %(uid)s and lease_no = %(lease_no)s and claimed_at = %(claimed_at)s::pg_catalog.timestamptz
      and (status = 'running') is true
  )
returning job_uid
