"""What steve is compared with, on the same tables: pgbench claiming and completing, plain INSERTs, COPY, psycopg alone.

What limits a drain, on two cores: a job takes 14 to 15 us in the worker process, which has one interpreter, and about 20 us of
executing in PostgreSQL (claim 9, settle 11). Committing and sending take some 4 us more. If neither core ever waited, that
would be 50,000 jobs/s. But the settler is always busy. It takes 13 ms for 500 outcomes: 6 to 7 ms for the statement, 2 to 3 ms
for its own Python, and for the rest it waits for a core or for the interpreter.

- The garbage collector takes a tenth: with gc.disable() a drain is 1.12 times as fast. That switch belongs to the application.
- With sys.setswitchinterval() at a tenth of its default a drain is 0.86 times as fast.
- The check constraints of `job` take 1.8 of PostgreSQL's 20.6 us, because both updates of a row evaluate all of them. Those of
  columns that never change take 1.3 us of that.
- Half-filled pages of the keys (`fillfactor`) make draining 1.10 times as fast with 2 workers and 1.03 times with 10, but
  `create_many` only 0.93 times, since those pages are full sooner. Half-filled pages of the table cost `create_many` nothing.
- A second settler, with a connection of its own, is no faster with 2 workers and slower with 10 (0.93).
- Letting more or fewer threads take jobs from the buffer makes a difference within the noise.

What limits `create`: a job takes some 400 us, of which psycopg and PostgreSQL take 340. The code that steve adds takes 15 us
when it runs in a loop by itself. Between two waits for the server, which leave the caches cold, it takes 60 us. Keeping a
cursor for each connection changes nothing.

What limits `create_many`, which does less than half of COPY: a job takes 11 us.

- 2.7 us pass before anything is sent, since one job that cannot be stored keeps all from being stored.
- Its COPY of 14 columns takes 6.3 us, where `limit.copy` takes 5.4 us for 3 columns. The three times take 0.6 us of that, and
  leaving out values that equal a default is no faster.
- The garbage collector takes 1.2 to 1.5 us, in which PostgreSQL reads no more than what the socket holds. Without the collector
  `create_many` does 0.58 of COPY.
- Groups of 100 to 1,000 rows are alike. Three lists for the checked jobs, instead of a tuple for each, make it 0.48 instead of
  0.46.

What makes the pick-up of ten processes slower than that of one: each NOTIFY wakes ten sessions and ten listening threads, and
the nine processes that come too late make a claim that finds nothing. On two cores that is 9 ms of processor time a job. So a
process that came too late reads its next notification a while later (`stand_back_seconds` in steve/_engine/claim/crowd.py).
When the nine were woken first and then put to sleep, they held up the one for half a millisecond, and all of them ended at the
same moment (p50 1.8 ms instead of 1.3, p99 5.7 instead of 2.5).

A history must be written as steve writes one. Rows that are inserted as finished leave room for one new job on each page.
Beside ten million of those a drain touched 100,000 pages, wrote 465 MB of WAL instead of 71, and did 0.79 of what it does with
an empty table. Rows that are updated a million at a time still leave some holes. The first drain fills these and does 0.80 to
0.95; the drains after it do 0.90 to 1.13.
"""

from __future__ import annotations

import time

from .cluster import Cluster
from .figures import Bench, Measure, Reading, figure
from .options import CreatorOptions
from .processes import create

BATCH = ("limit.batch", "jobs/s")
BATCH_1 = ("limit.batch", "jobs/s, 1 client")
CLASSIC = ("limit.classic", "jobs/s, 8 clients")
CLASSIC_1 = ("limit.classic", "jobs/s, 1 client")
INSERT_1 = ("limit.insert", "jobs/s, 1 client")
INSERT_8 = ("limit.insert", "jobs/s, 8 clients")
BARE_1 = ("limit.bare", "jobs/s, 1 thread")
BARE_8 = ("limit.bare", "jobs/s, 8 threads")
SILENT_1 = ("limit.silent", "jobs/s, 1 thread")
SILENT_8 = ("limit.silent", "jobs/s, 8 threads")
COPY = ("limit.copy", "jobs/s")

_CLAIM_ONE = """\
update {schema}.job
set status = 'running', process_id = 1, claimed_at = now(), updated_at = now(), attempts = attempts + 1, lease_no = lease_no + 1
where uid = (
  select uid from {schema}.job
  where status = 'pending' and queue = 'default' and type = 'noop' and priority = 0 and run_at <= now()
  order by run_at, uid limit 1 for no key update skip locked)
returning uid \\gset
"""

_COMPLETE_ONE = """\
update {schema}.job
set status = 'completed', process_id = null, started_at = now(), completed_at = now(), updated_at = now()
where uid = :uid;
"""

# What steve's own statements do for each job, less what only a manager needs: priorities, results, retries, rows to a client.
_CLAIM_100 = """\
with found as materialized (
  select uid from {schema}.job
  where status = 'pending' and queue = 'default' and type = 'noop' and priority = 0 and run_at <= now()
  order by run_at, uid limit 100 for no key update skip locked
), claimed as (
  update {schema}.job
  set status = 'running', process_id = 1, claimed_at = now(), updated_at = now(),
    attempts = attempts + 1, lease_no = lease_no + 1
  where uid = any(array(select uid from found))
  returning uid, lease_no, payload::text as payload
)
select array_agg(uid) as uids, array_agg(lease_no) as leases, sum(length(payload)) as bytes from claimed \\gset
"""

_COMPLETE_100 = """\
with verdict as materialized (
  select * from unnest((select :uids::uuid[]), :leases::bigint[]) as t (uid, lease_no)
), settled as (
  update {schema}.job
  set status = 'completed', process_id = null, process = case when job.started_at is null then 'pgbench' end,
    started_at = coalesce(job.started_at, now()), completed_at = now(), updated_at = now()
  from verdict
  where job.uid = verdict.uid and job.lease_no = verdict.lease_no and (job.status = 'running') is true
  returning job.uid
)
select count(*) as settled from settled \\gset
"""

_INSERT = "insert into {schema}.job (uid, type, payload) values (%s, 'noop', '{\"i\": 1}');\n"


@figure(
    "limit.classic",
    "pgbench: claim one, complete it, two transactions",
    {"jobs/s, 1 client": Measure(), "jobs/s, 8 clients": Measure()},
)
def classic(bench: Bench) -> Reading:
    speeds = {}
    for clients, jobs, name in ((1, bench.jobs(6_000), "jobs/s, 1 client"), (8, bench.jobs(16_000), "jobs/s, 8 clients")):
        with bench.cluster.schema() as schema:
            bench.cluster.fill(schema, jobs + 100)
            bench.cluster.freshen(schema)
            speeds[name] = bench.cluster.pgbench(_CLAIM_ONE + _COMPLETE_ONE, schema, clients, jobs)
    return Reading(speeds)


@figure(
    "limit.batch",
    "pgbench: claim 100, complete 100; the best of 1, 2, 4 clients",
    {"jobs/s": Measure(), **{f"jobs/s, {clients}": Measure() for clients in ("1 client", "2 clients", "4 clients")}},
)
def batch(bench: Bench) -> Reading:
    speeds = {}
    jobs = bench.jobs(100_000)
    for clients, name in ((1, "jobs/s, 1 client"), (2, "jobs/s, 2 clients"), (4, "jobs/s, 4 clients")):
        with bench.cluster.schema() as schema:
            bench.cluster.fill(schema, jobs + 1_000)  # so that the last client finds its hundred too
            bench.cluster.freshen(schema)
            speeds[name] = 100 * bench.cluster.pgbench(_CLAIM_100 + _COMPLETE_100, schema, clients, jobs // 100)
            _check_batches(bench.cluster, schema, jobs // 100 // clients * clients * 100)
    return Reading({"jobs/s": max(speeds.values()), **speeds})


def _check_batches(cluster: Cluster, schema: str, jobs: int) -> None:
    completed = cluster.one(
        "select count(*) from {schema}.job where status = 'completed' and attempts = 1 and process is not null", schema
    )
    if completed != jobs:
        raise RuntimeError(f"pgbench completed {completed} of {jobs} jobs")


@figure(
    "limit.insert",
    "pgbench: plain INSERT of one job",
    {"jobs/s, 1 client": Measure(), "jobs/s, 8 clients": Measure()},
)
def insert(bench: Bench) -> Reading:
    uid = "uuidv7()" if bench.cluster.version >= 18 else "gen_random_uuid()"
    speeds = {}
    for clients, jobs, name in ((1, bench.jobs(10_000), "jobs/s, 1 client"), (8, bench.jobs(40_000), "jobs/s, 8 clients")):
        with bench.cluster.schema() as schema:
            bench.cluster.freshen(schema)
            speeds[name] = bench.cluster.pgbench(_INSERT % uid, schema, clients, jobs)
    return Reading(speeds)


@figure(
    "limit.bare",
    "psycopg: cursor.execute of steve's INSERT, NOTIFY included, a connection a thread",
    {"jobs/s, 1 thread": Measure(), "jobs/s, 8 threads": Measure()},
)
def bare(bench: Bench) -> Reading:
    return _by_psycopg(bench, notify=True)


@figure(
    "limit.silent",
    "psycopg: the same without NOTIFY",
    {"jobs/s, 1 thread": Measure(), "jobs/s, 8 threads": Measure()},
)
def silent(bench: Bench) -> Reading:
    return _by_psycopg(bench, notify=False)


def _by_psycopg(bench: Bench, notify: bool) -> Reading:
    speeds = {}
    for threads, jobs, name in ((1, bench.jobs(10_000), "jobs/s, 1 thread"), (8, bench.jobs(20_000), "jobs/s, 8 threads")):
        with bench.cluster.schema() as schema:
            bench.cluster.freshen(schema)
            options = CreatorOptions(bench.cluster.conninfo, schema, "insert", jobs, threads=threads, notify=notify)
            speeds[name] = jobs / create(options)
    return Reading(speeds)


@figure("limit.copy", "COPY of 100,000 jobs", {"jobs/s": Measure()})
def copy(bench: Bench) -> Reading:
    jobs = bench.jobs(100_000)
    rows = "".join(f'00000000-0000-7000-8000-{i:012x}\tnoop\t{{"i": {i}}}\n' for i in range(jobs))
    with bench.cluster.schema() as schema:
        bench.cluster.freshen(schema)
        begun = time.monotonic()
        with bench.cluster.connection.cursor().copy(f'copy "{schema}".job (uid, type, payload) from stdin'.encode()) as to:
            to.write(rows)
        return Reading({"jobs/s": jobs / (time.monotonic() - begun)})
