-- Make many jobs pending again: a batch. It looks for them as cancel_jobs.sql does, and treats each as retry_job.sql does. Of the
-- jobs with one unique key it takes the oldest, and none while another job has that key.
--
-- Returns how many, which ones it passed by, how many it left out because of their unique keys, the unique keys of those taken
-- (with `dry`), and where the next batch goes on; null: there are no more. With `dry` nothing is changed. Raises 23505 if a job
-- with one of these keys was created meanwhile.
with bound as materialized (
  select coalesce(
    %(upto)s::pg_catalog.uuid,
    (
      select uid
      from only {schema}.job
      where uid > %(after)s::pg_catalog.uuid and uid <= %(last)s::pg_catalog.uuid
      order by uid
      offset %(look)s
      limit 1
    ),
    %(last)s::pg_catalog.uuid
  ) as uid
), wanted as materialized (
  (
    select uid, unique_key
    from only {schema}.job
    where %(uids)s::pg_catalog.uuid[] is null
      and uid > %(after)s::pg_catalog.uuid and uid <= (select uid from bound)
      and ({matches}) is true
    order by uid
    limit %(most)s
  )
  union all
  select uid, unique_key
  from only {schema}.job
  where uid = any(%(uids)s::pg_catalog.uuid[]) and ({matches}) is true
), locked as materialized (
  select uid, unique_key, lease_no, attempts, process, started_at, completed_at
  from only {schema}.job
  where uid = any(array(select uid from wanted)) and ({matches}) is true and not %(dry)s
  for no key update skip locked
), candidate as (
  select uid, unique_key
  from locked
  union all
  select uid, unique_key
  from wanted
  where %(dry)s
), taken as materialized (
  select uid, unique_key
  from candidate
  where unique_key is null
  union all
  (
    select distinct on (unique_key) uid, unique_key
    from candidate
    where unique_key is not null
      -- not "not exists", which may become a join that reads all keys
      and (
        select holder.uid
        from {schema}.job as holder
        where holder.unique_key = candidate.unique_key
          and holder.status not in ('completed', 'failed', 'cancelled')
        limit 1
      ) is null
    order by unique_key, uid
  )
), of_attempt as materialized (
  select uid, lease_no, attempts, process, started_at, completed_at
  from locked
  where process is not null and uid in (select uid from taken)
), left_over as (
  delete from {schema}.attempt
  using of_attempt
  where attempt.job_uid = any(array[of_attempt.uid]) and attempt.lease_no = of_attempt.lease_no
  returning 1
), logged as (
  insert into {schema}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status)
  select uid, lease_no, attempts, process, started_at, completed_at, 'success'
  from of_attempt
  where (select pg_catalog.count(*) from left_over) >= 0
  on conflict (job_uid, lease_no) do nothing
), changed as (
  update only {schema}.job
  set status = 'pending',
      result = null,
      process = null,
      claimed_at = null,
      completed_at = null,
      run_at = pg_catalog.statement_timestamp(),
      updated_at = pg_catalog.statement_timestamp(),
      expires_at = null,
      cancel_asked_at = null,
      cancel_reason = null,
      forgiven = nullif(attempts - crashes, 0),
      granted = %(attempts)s
  where uid = any(array(select uid from taken where not %(dry)s))
  returning uid
)
select
  case when %(dry)s then (select pg_catalog.count(*) from taken) else (select pg_catalog.count(*) from changed) end,
  array(select uid from wanted where uid not in (select uid from locked)),
  (select pg_catalog.count(*) from candidate) - (select pg_catalog.count(*) from taken),
  case when %(dry)s then array(select unique_key from taken where unique_key is not null) end,
  case when (select pg_catalog.count(*) from wanted) >= %(most)s
    then (select uid from wanted order by uid desc limit 1)
    else (select uid from bound where uid < %(last)s::pg_catalog.uuid)
  end,
  case when %(notify)s and (not %(sparing)s or pg_catalog.pg_notification_queue_usage() < 0.5)
    then (select pg_catalog.pg_notify(%(channel)s, '') from changed limit 1)
  end
