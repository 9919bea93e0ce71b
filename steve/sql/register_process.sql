-- This process begins to work.
insert into {schema}.process (name, version)
values (%(name)s, %(version)s)
returning id
