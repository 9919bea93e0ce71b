-- Lock those of these jobs that no other transaction has locked, and return their places among them. The settlement that
-- follows in the same transaction then waits for no lock of a row. A job that is gone has no place either: `gone` tells them
-- apart from those that are locked.
--
-- `= any(array[...])`: see settle_jobs.sql.
with given as materialized (
  select uid, place
  from unnest(%(uids)s::pg_catalog.uuid[]) with ordinality as given (uid, place)
), free as materialized (
  select given.place
  from given
  join {schema}.job on job.uid = any(array[given.uid])
  for no key update of job skip locked
)
select place, true as is_free
from free
union all
select given.place, false
from given
where given.place not in (select place from free)
  and not exists (select from {schema}.job where job.uid = any(array[given.uid]))
