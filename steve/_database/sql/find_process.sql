-- Whether the row of a process can be seen from here, where it was written over another connection.
select id
from {schema}.process
where id = %(id)s
