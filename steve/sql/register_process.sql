-- This process begins to work.
insert into {schema}.process (name, version, lease)
values (%(name)s, %(version)s, %(lease)s)
returning id
