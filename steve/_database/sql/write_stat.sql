-- Add what this process has counted to its rows of the present minute. The figures of the last ten seconds count in the minute in
-- which they are written. The rows are this process's own, so nothing waits for their locks, save the duty that moves the rows of
-- minutes that are over: merge_stat.sql. If the reply is lost, the caller asks whether the transaction was committed, since this
-- statement adds and must not be carried out twice.
insert into {schema}.stat (
  minutes, at, process_id, queue, type, completed, failed, cancelled, retried, crashed, run_us, wait_us, run_hist, wait_hist
)
select
  0, pg_catalog.date_bin('1 minute', pg_catalog.now(), '2000-01-01 00:00:00+00'), %(process_id)s,
  queue, type, completed, failed, cancelled, retried, crashed, run_us, wait_us, run_hist, wait_hist
from unnest(
  %(queues)s::pg_catalog.text[], %(types)s::pg_catalog.text[], %(completed)s::bigint[], %(failed)s::bigint[],
  %(cancelled)s::bigint[], %(retried)s::bigint[], %(crashed)s::bigint[], %(run_us)s::bigint[], %(wait_us)s::bigint[],
  %(run_hist)s::pg_catalog.numeric[], %(wait_hist)s::pg_catalog.numeric[]
) as counted (queue, type, completed, failed, cancelled, retried, crashed, run_us, wait_us, run_hist, wait_hist)
on conflict (minutes, at, queue, type, process_id) do update
set {sums}
returning at
