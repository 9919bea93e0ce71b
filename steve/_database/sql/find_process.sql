-- Whether this connection sees the row of a process, which another connection wrote.
select id
from {schema}.process
where id = %(id)s
