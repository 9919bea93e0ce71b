-- Which process was last noted to have a handler for a type, and when.
select process, at
from {schema}.served
where type = %(type)s
