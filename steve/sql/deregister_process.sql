-- This process holds no job any more.
delete from {schema}.process
where id = %(id)s
returning id
