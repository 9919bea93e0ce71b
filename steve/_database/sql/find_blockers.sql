-- Which sessions hold the locks of these jobs' rows, each as a text for people, and for how many seconds their transactions have
-- been open. Null: this role may not know.
--
-- The number of the transaction that changed or locked a row last is the row's xmax, and an open transaction holds the lock of
-- its own number. So nothing has to wait for the lock while pg_blocking_pids() is asked. If several transactions lock a row
-- together, xmax is another kind of number and finds nobody.
select distinct
  case
    when prepared.gid is not null then pg_catalog.format('the prepared transaction %%L', prepared.gid)
    else pg_catalog.format(
      'process %%s of PostgreSQL (%%s, user %%s, %%s)', locks.pid,
      coalesce(nullif(activity.application_name, ''), 'no application_name'), activity.usename,
      coalesce(activity.state, 'state unknown')
    )
  end as holder,
  extract(epoch from pg_catalog.now() - coalesce(activity.xact_start, prepared.prepared))::double precision as seconds
from unnest(%(uids)s::pg_catalog.uuid[]) as given (uid)
join {schema}.job on job.uid = any(array[given.uid])
join pg_catalog.pg_locks as locks
  on locks.locktype = 'transactionid' and locks.mode = 'ExclusiveLock' and locks.granted and locks.transactionid = job.xmax
left join pg_catalog.pg_stat_activity as activity on activity.pid = locks.pid
left join pg_catalog.pg_prepared_xacts as prepared on locks.pid is null and prepared.transaction = locks.transactionid
order by 1
