-- Lock those of these jobs that no other transaction has locked, and return their places among them. The settlement that
-- follows in the same transaction then waits for no lock of a row.
--
-- `= any(array[...])`: see settle_jobs.sql.
select given.place
from unnest(%(uids)s::pg_catalog.uuid[]) with ordinality as given (uid, place)
join {schema}.job on job.uid = any(array[given.uid])
for no key update of job skip locked
