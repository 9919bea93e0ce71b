-- Whether this connection sees the row of a process. The row was written over another connection.
select id
from {schema}.process
where id = %(id)s
