-- What the attempts of a job have logged, or one attempt (null: all), in order.
select attempt, lease_no, claimed_at, first_line, last_line, shift, lines::pg_catalog.text
from {schema}.log
where job_uid = %(uid)s::pg_catalog.uuid and (%(attempt)s::integer is null or attempt = %(attempt)s::integer)
order by lease_no, claimed_at, first_line
