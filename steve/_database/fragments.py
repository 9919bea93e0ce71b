"""Texts that several statements of sql/ share. A file has a token in the place of each: {job} stands for JOB."""

from __future__ import annotations

JOB = """\
uid, queue, type, priority, payload::pg_catalog.text as payload, result::pg_catalog.text as result, error, status, attempts,
crashes, max_attempts, backoff_strategy, created_at, updated_at, run_at, claimed_at, started_at, completed_at,
unique_key, tags::pg_catalog.text as tags, metadata::pg_catalog.text as metadata, timeout, expires_at, cancel_asked_at,
(
  select pg_catalog.json_build_array(done, total, note, at)::pg_catalog.text
  from {schema}.progress
  where progress.job_uid = job.uid
) as progress"""
"""The columns of a Job, in the order of its fields, for statements that return jobs. A claim does not have the last one: it
reads nothing of what few jobs have in other tables."""

EXTRAS = """\
case when pg_catalog.num_nonnulls(unique_key, tags, metadata, timeout, expires_at, cancel_asked_at, forgiven, granted) > 0
then pg_catalog.json_build_object(
  'unique', unique_key, 'tags', tags, 'metadata', metadata, 'timeout', timeout, 'expires_at', expires_at,
  'cancel_asked_at', cancel_asked_at, 'forgiven', forgiven, 'granted', granted
)::pg_catalog.text end as extras"""
"""The column `extras` of every statement that returns claimed jobs: see Extras in _model/claimed.py. Null for most jobs."""

MATCHES = """\
status = any(%(statuses)s::pg_catalog.text[])
and created_at <= %(begun_at)s::pg_catalog.timestamptz
and (%(type)s::pg_catalog.text is null or type = %(type)s::pg_catalog.text)
and (%(queue)s::pg_catalog.text is null or queue = %(queue)s::pg_catalog.text)
and (%(tags)s::pg_catalog.jsonb is null or tags @> %(tags)s::pg_catalog.jsonb)
and (%(error)s::pg_catalog.text is null or pg_catalog.strpos(error, %(error)s::pg_catalog.text) > 0)
and (%(created_before)s::pg_catalog.timestamptz is null or created_at < %(created_before)s::pg_catalog.timestamptz)
and (%(created_after)s::pg_catalog.timestamptz is null or created_at >= %(created_after)s::pg_catalog.timestamptz)
and (%(ended_before)s::pg_catalog.timestamptz is null or completed_at < %(ended_before)s::pg_catalog.timestamptz)
and (%(ended_after)s::pg_catalog.timestamptz is null or completed_at >= %(ended_after)s::pg_catalog.timestamptz)"""
"""Whether a job matches the filters of a call that changes many jobs. These statements are planned each time, so that what is
null costs nothing."""

BATCH = """\
bound as materialized (
  select coalesce(
    %(upto)s::pg_catalog.uuid,
    (
      select uid
      from only {schema}.job
      where uid > %(after)s::pg_catalog.uuid and uid <= %(last)s::pg_catalog.uuid
        and (not %(unsuccessful)s::boolean or status in ('failed', 'cancelled'))
      order by uid
      offset %(look)s::bigint
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
      and (not %(unsuccessful)s::boolean or status in ('failed', 'cancelled'))
      and ({matches}) is true
    order by uid
    limit %(most)s::bigint
  )
  union all
  select uid, unique_key
  from only {schema}.job
  where uid = any(%(uids)s::pg_catalog.uuid[]) and ({matches}) is true
)"""
"""The jobs for a call that changes many: `wanted`. These are the first `most` that match of the jobs above the uid `after`, up
to `upto` or, if that is null, of the next `look` jobs up to `last`. With `uids` they are those of `uids` that match.

`bound` ends the scan, which would otherwise go through the whole table if few jobs match. With `upto` it need not count jobs:
counting takes as long as the scan.

With `unsuccessful` it looks only at jobs that failed or were cancelled, which job_failed has in this order: retry_all would
otherwise read all that succeeded."""

NEXT = """\
case when (select pg_catalog.count(*) from wanted) >= %(most)s::bigint
  then (select uid from wanted order by uid desc limit 1)
  else (select uid from bound where uid < %(last)s::pg_catalog.uuid)
end"""
"""Where the batch after BATCH goes on: above this uid. Null: there are no more jobs."""

FIRST_ATTEMPT = """\
left_over as (
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
)"""
"""Writes the attempts in `of_attempt` into the log. Each is the first attempt of a job that it completed. The row of the job
stood for that attempt (settle_jobs.sql) until the retry, which overwrites the row.

If the log has a row under the same lease, it was left from another life of the job (forget_attempt.sql), and is deleted. The
count makes the insertion wait for that. `on conflict`: somebody may write such a row by hand meanwhile."""

RETRIED = """\
status = 'pending',
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
granted = %(attempts)s::integer"""
"""What a retry sets. The failures so far are forgiven, so that max_attempts stays what was promised and the backoff begins
anew. Crashes stay: a job that failed because of them is on its last chance, and runs alone."""

NEW = """\
new_uid, new_payload, new_queue, new_type, new_priority, new_max_attempts, new_strategy, new_base, new_max, new_jitter,
new_run_at, new_delay, new_key, new_window, new_tags, new_metadata, new_timeout, new_expires_at, new_expires_in"""
"""The columns of GIVEN."""

GIVEN = """\
given as materialized (
  select *
  from unnest(
    %(uids)s::pg_catalog.uuid[], %(payloads)s::pg_catalog.text[], %(queues)s::pg_catalog.text[], %(types)s::pg_catalog.text[],
    %(priorities)s::smallint[], %(max_attempts)s::integer[], %(strategies)s::pg_catalog.text[], %(bases)s::real[],
    %(maxes)s::real[], %(jitters)s::real[], %(run_ats)s::pg_catalog.timestamptz[], %(delays)s::double precision[],
    %(keys)s::pg_catalog.text[], %(windows)s::double precision[], %(tags)s::pg_catalog.text[], %(metadata)s::pg_catalog.text[],
    %(timeouts)s::double precision[], %(expires_ats)s::pg_catalog.timestamptz[], %(expires_ins)s::double precision[]
  ) as given ({new})
)"""
"""The jobs that a create sends, as rows."""

GIVEN_JSON = """\
given as materialized (
  select *
  from pg_catalog.jsonb_to_recordset(%(jobs)s::pg_catalog.jsonb) as given (
    new_uid pg_catalog.uuid, new_payload pg_catalog.jsonb, new_queue pg_catalog.text, new_type pg_catalog.text,
    new_priority smallint, new_max_attempts integer, new_strategy pg_catalog.text, new_base real, new_max real,
    new_jitter real, new_run_at pg_catalog.timestamptz, new_delay double precision, new_key pg_catalog.text,
    new_window double precision, new_tags pg_catalog.jsonb, new_metadata pg_catalog.jsonb, new_timeout double precision,
    new_expires_at pg_catalog.timestamptz, new_expires_in double precision, new_conflict pg_catalog.text
  )
)"""
"""As GIVEN, from one parameter in JSON, with what is to happen if the key is taken."""
GIVEN_ONE = """\
given as materialized (
  select
    %(uid)s::pg_catalog.uuid as new_uid, %(payload)s::pg_catalog.text as new_payload, %(queue)s::pg_catalog.text as new_queue,
    %(type)s::pg_catalog.text as new_type, %(priority)s::smallint as new_priority,
    %(max_attempts)s::integer as new_max_attempts, %(strategy)s::pg_catalog.text as new_strategy, %(base)s::real as new_base,
    %(max)s::real as new_max, %(jitter)s::real as new_jitter, %(run_at)s::pg_catalog.timestamptz as new_run_at,
    %(delay)s::double precision as new_delay, %(key)s::pg_catalog.text as new_key, %(window)s::double precision as new_window,
    %(tags)s::pg_catalog.text as new_tags, %(metadata)s::pg_catalog.text as new_metadata,
    %(timeout)s::double precision as new_timeout, %(expires_at)s::pg_catalog.timestamptz as new_expires_at,
    %(expires_in)s::double precision as new_expires_in
)"""
"""GIVEN for a single job. Nineteen arrays of one item take longer to read than the job to store, and PostgreSQL, which does not
know how long they are, plans such a statement anew each time."""

INSERT = """\
insert into {schema}.job (
  uid, queue, type, priority, payload, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter, run_at,
  unique_key, tags, metadata, timeout, expires_at
)
select
  new_uid, new_queue, new_type, new_priority, new_payload::pg_catalog.jsonb, new_max_attempts,
  new_strategy, new_base, new_max, new_jitter, {new_run_at},
  new_key, new_tags::pg_catalog.jsonb, new_metadata::pg_catalog.jsonb, new_timeout, {new_expiry}"""
"""Stores the jobs that the `from` after it names: rows with the columns of GIVEN."""

NEW_RUN_AT = """\
greatest(
  new_run_at,
  pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => new_delay),
  pg_catalog.clock_timestamp()
)"""
"""When a job of GIVEN is due: not before now."""

NEW_EXPIRY = """\
coalesce(new_expires_at, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => new_expires_in))"""
"""When a job of GIVEN expires."""

IN_LANES = """\
near as materialized (
  select candidate.*
  from start
  cross join lateral (
    select ctid as place, queue, type, priority, run_at, uid, crashes
    from only {schema}.job
    where status = 'pending' and priority = start.priority
      and (run_at, uid) > (start.run_at, start.uid) and run_at <= pg_catalog.now()
    order by run_at, uid
    limit 4 * %(reach)s * (%(n)s + 10)
  ) candidate
  where %(n)s > 0
  limit 4 * %(reach)s * (%(n)s + 10)
), glance as materialized (
  select place, priority, run_at, uid
  from near
  where crashes < 1 and (%(any_type)s or type in (select type from known)) and {filters}
  order by priority desc, run_at, uid
  limit %(reach)s * (%(n)s + 10)
), look as materialized (
  select
    (select pg_catalog.count(*) from near) >= 4 * %(reach)s * (%(n)s + 10) as has_more,
    exists (select from glance) as is_enough
), lane as (
  (
    select queue, type, priority
    from only {schema}.job
    where status = 'pending' and %(n)s > 0 and (select has_more and not is_enough from look)
    order by queue, type, priority, run_at, uid
    limit 1
  )
  union all
  select next.*
  from lane
  cross join lateral (
    select queue, type, priority
    from only {schema}.job
    where status = 'pending' and (queue, type, priority) > (lane.queue, lane.type, lane.priority)
    order by queue, type, priority, run_at, uid
    limit 1
  ) next
), served as materialized (
  select
    queue, type, priority, start.run_at, start.uid,
    10 + 2 * %(reach)s * (%(n)s + 10) / pg_catalog.count(*) over (partition by priority) as most
  from lane
  join start using (priority)
  where (%(any_type)s or type in (select type from known)) and {filters}
), candidate as materialized (
  select first.*, served.most
  from served
  cross join lateral (
    select
      ctid as place, priority, run_at, uid,
      pg_catalog.row_number() over (order by queue, type, priority, run_at, uid) as number
    from only {schema}.job
    where status = 'pending' and crashes < 1
      and (queue, type, priority, run_at, uid) > (served.queue, served.type, served.priority, served.run_at, served.uid)
      and (queue, type, priority, run_at) <= (served.queue, served.type, served.priority, pg_catalog.now())
    order by queue, type, priority, run_at, uid
    limit served.most
  ) first
), horizon as materialized (
  select priority, run_at, uid
  from candidate
  where number = most
  order by priority desc, run_at, uid
  limit 1
), chosen as materialized (
  (
    select place
    from candidate
    where not exists (select from horizon)
      or (-priority, run_at, uid) <= (select -priority, run_at, uid from horizon)
    order by priority desc, run_at, uid
    limit %(reach)s * (%(n)s + 10)
  )
  union all
  -- There are no candidates where this is enough, and else there is nothing here.
  (
    select place
    from glance
    order by priority desc, run_at, uid
  )
), found as materialized (
  select locked.*
  from chosen
  cross join lateral (
    select ctid as place, type, priority, run_at, uid
    from only {schema}.job
    where ctid = chosen.place and (status = 'pending') is true
    for no key update skip locked
  ) locked
  limit %(n)s
), scanned as (
  select
    case
      when exists (select from horizon) or (select has_more and is_enough from look)
        or (select pg_catalog.count(*) from chosen) = %(reach)s * (%(n)s + 10) then %(n)s
      else pg_catalog.count(*)
    end as count,
    pg_catalog.clock_timestamp() as at
  from found
)"""
"""How a claim finds jobs while some of those that it serves are paused, of which there may be a million.

As a rule only few of them lie where the claim looks. So it first looks, as every claim does, at the first due jobs in the order
of the claim, but at no more than a few times as many as it asks for. If some of these are not paused, it takes those: `glance`.
The others cost the next claim nothing, since the watermarks move past them.

If they are all paused or for other processes, the claim hops from lane to lane, as find_heads.sql does, and looks only into
those that it may claim from: at the first due jobs of each, more if there are few lanes of that priority. That takes as long as
there are lanes: 80 ms for 2,000.

`horizon` is the first place at which a lane may have further jobs than those that were looked at. What lies beyond is left to
the next claim, since a job that was not looked at may come before it. The claim then counts as cut off, as if it had found n
jobs. More than n are chosen, since others may have locked the first of them; if they have locked all, `reach` is raised. A
claim locks no row that it does not take.

The row comparisons, rather than equalities, leave no other index than job_ready: with equalities job_due has the same order."""

SUMS = """\
completed = stat.completed + excluded.completed,
failed = stat.failed + excluded.failed,
cancelled = stat.cancelled + excluded.cancelled,
retried = stat.retried + excluded.retried,
crashed = stat.crashed + excluded.crashed,
run_us = stat.run_us + excluded.run_us,
wait_us = stat.wait_us + excluded.wait_us,
run_hist = stat.run_hist + excluded.run_hist,
wait_hist = stat.wait_hist + excluded.wait_hist"""
"""Adds the figures of a row of `stat` to those of the row that is there already."""

COUNT_CANCELLED = """\
counted as (
  insert into {schema}.stat (minutes, at, process_id, queue, type, cancelled)
  select
    0, pg_catalog.date_bin('1 minute', pg_catalog.now(), '2000-01-01 00:00:00+00'),
    pg_catalog.hashtextextended(pg_catalog.gen_random_uuid()::pg_catalog.text, 0), queue, type, pg_catalog.count(*)
  from changed
  where status = 'cancelled'
  group by queue, type
)"""
"""Counts the jobs of `changed` that are cancelled. The rows are those of a process that no other is, so that nobody waits for
their locks: see write_stat.sql."""

FRAGMENTS = {
    "{batch}": BATCH,
    "{next}": NEXT,
    "{matches}": MATCHES,
    "{first_attempt}": FIRST_ATTEMPT,
    "{retried}": RETRIED,
    "{given}": GIVEN,
    "{given_json}": GIVEN_JSON,
    "{given_one}": GIVEN_ONE,
    "{new}": NEW,
    "{insert}": INSERT,
    "{new_run_at}": NEW_RUN_AT,
    "{new_expiry}": NEW_EXPIRY,
    "{job}": JOB,
    "{extras}": EXTRAS,
    "{sums}": SUMS,
    "{count_cancelled}": COUNT_CANCELLED,
}
"""In the order in which they are put in: one may hold the tokens of those after it."""
