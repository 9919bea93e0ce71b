-- Store many jobs, all or none, in the order given. See insert_job.sql; one notification for all.
with given as materialized (
  select *
  from unnest(
    %(uids)s::uuid[], %(queues)s::text[], %(types)s::text[], %(priorities)s::smallint[], %(payloads)s::jsonb[],
    %(max_attempts)s::integer[], %(backoff_strategies)s::text[], %(backoff_bases)s::real[], %(backoff_maxes)s::real[],
    %(backoff_jitters)s::real[], %(run_ats)s::timestamptz[]
  ) with ordinality as t (
    uid, queue, type, priority, payload, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter, run_at, place
  )
), inserted as (
  insert into {schema}.job
    (uid, queue, type, priority, payload, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter, run_at)
  select
    uid, queue, type, priority, payload, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter,
    greatest(run_at, clock_timestamp())
  from given
  order by place
  on conflict (uid) do nothing
  returning uid, id, created_at, updated_at, run_at
), woken as materialized (
  select pg_notify(%(channel)s, '')
  where %(notify)s and exists (select from inserted where run_at < clock_timestamp() + interval '1 hour')
)
select uid, id, created_at, updated_at, run_at, (select count(*) from woken)
from inserted
