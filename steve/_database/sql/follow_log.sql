-- The job's status, and what its attempts have logged after the row of the log that is named (nulls: all of it), in order. One
-- statement reads both: if the job has ended, no line of its last attempt is missing, since those were written before.
select
  job.status, later.attempt, later.lease_no, later.claimed_at, later.first_line, later.last_line, later.shift,
  later.lines::pg_catalog.text
from {schema}.job
left join lateral (
  select attempt, lease_no, claimed_at, first_line, last_line, shift, lines
  from {schema}.log
  where job_uid = job.uid and (
    %(lease_no)s::bigint is null
    or (lease_no, claimed_at, first_line) > (%(lease_no)s::bigint, %(claimed_at)s::pg_catalog.timestamptz, %(first_line)s::bigint)
  )
) as later on true
where job.uid = %(uid)s
order by later.lease_no, later.claimed_at, later.first_line
