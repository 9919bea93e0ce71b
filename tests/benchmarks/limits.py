"""What steve is compared with, on the same tables: pgbench claiming and completing, plain INSERTs, COPY, psycopg alone.

What holds a drain below the fastest, on two cores: a job takes the worker process 14 to 15 us (one interpreter) and PostgreSQL
about 20 us of executing (claim 9, settle 11); some 4 us more pass with committing and sending. That would be 50,000 jobs/s if
neither core ever waited. But the settler is always busy: of its 13 ms for 500 outcomes the statement takes 6 to 7, its own
Python 2 to 3, and the rest is waiting for a core or for the interpreter.

- The garbage collector takes a tenth: with gc.disable() a drain makes 1.12 of its jobs/s. That switch is the application's.
- sys.setswitchinterval() at a tenth of its default: 0.86.
- The check constraints of `job` take 1.8 of PostgreSQL's 20.6 us: both updates of a row evaluate all of them; those of columns
  that never change are 1.3 of it.
- Keys half filled (`fillfactor`): draining is 1.10 times as fast with 2 workers and 1.03 times with 10, `create_many` 0.93
  times, since their pages are full sooner. Half-filled pages of the table itself cost `create_many` nothing.
- A second settler, with a connection of its own, is no faster with 2 workers and slower with 10 (0.93).
- More threads that draw, or fewer (a run's time bounded before it is averaged, WORTH_SECONDS tenfold): within the noise.

What holds `create` below psycopg alone: of some 400 us a job psycopg and PostgreSQL take 340. What steve adds runs for 15 us
in a loop of its own, and for 60 between two waits for the server, which leave it cold caches. A cursor kept for each connection
changes nothing.

What holds `create_many` below half of COPY: of 11 us a job 2.7 pass before anything is sent, since one job that cannot be
stored keeps all from being stored; its COPY of 14 columns takes 6.3 where `limit.copy` takes 5.4 with 3 (the three times are
0.6 of that, and leaving out what equals a default is no faster); and the garbage collector takes 1.2 to 1.5, in which
PostgreSQL reads no more than what the socket holds. Without the collector it is 0.58 of COPY. Groups of 100 to 1,000 rows are
alike; to keep the checked jobs in three lists instead of a tuple each makes it 0.48 instead of 0.46.

What holds the pick-up of ten processes above that of one: each NOTIFY wakes ten sessions, ten threads that listen and, in the
nine that come too late, a look for nothing: 9 ms of processor time a job for two cores. So who came too late leaves the
notification unheard for a while (`Hand.stand_back_seconds`); woken first and put to sleep then, the nine held up the one for
half a millisecond, and ended all at the same moment (p50 1.8 ms instead of 1.3, p99 5.7 instead of 2.5).

A history must be written as steve writes one: rows that are born finished leave room for one new job on each of their pages.
Beside ten million of those a drain touched 100,000 pages, wrote 465 MB of WAL instead of 71, and ran at 0.79 of the empty
table. Updated a million at a time they still leave some holes, which the first drain fills: 0.80 to 0.95; those after it 0.90
to 1.13.
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
where id = (
  select id from {schema}.job
  where status = 'pending' and queue = 'default' and type = 'noop' and priority = 0 and run_at <= now()
  order by run_at, id limit 1 for no key update skip locked)
returning id \\gset
"""

_COMPLETE_ONE = """\
update {schema}.job
set status = 'completed', process_id = null, started_at = now(), completed_at = now(), updated_at = now()
where id = :id;
"""

# What steve's own statements do for each job, less what only a manager needs: priorities, results, retries, rows to a client.
_CLAIM_100 = """\
with found as materialized (
  select id from {schema}.job
  where status = 'pending' and queue = 'default' and type = 'noop' and priority = 0 and run_at <= now()
  order by run_at, id limit 100 for no key update skip locked
), claimed as (
  update {schema}.job
  set status = 'running', process_id = 1, claimed_at = now(), updated_at = now(),
    attempts = attempts + 1, lease_no = lease_no + 1
  where id = any(array(select id from found))
  returning id, lease_no, payload::text as payload
)
select array_agg(id) as ids, array_agg(lease_no) as leases, sum(length(payload)) as bytes from claimed \\gset
"""

_COMPLETE_100 = """\
with verdict as materialized (
  select * from unnest((select :ids::bigint[]), :leases::bigint[]) as t (id, lease_no)
), settled as (
  update {schema}.job
  set status = 'completed', process_id = null,
    started_at = coalesce(job.started_at, now()), completed_at = now(), updated_at = now()
  from verdict
  where job.id = verdict.id and job.lease_no = verdict.lease_no and (job.status = 'running') is true
  returning job.id, verdict.lease_no, job.attempts, job.started_at, job.updated_at
), logged as (
  insert into {schema}.attempt (job_id, lease_no, number, process, started_at, completed_at, status)
  select id, lease_no, attempts, 'pgbench', started_at, updated_at, 'success' from settled
)
select count(*) as settled from settled \\gset
"""

_INSERT = "insert into {schema}.job (uid, type, payload) values (%s, 'noop', '{\"i\": 1}');\n"


@figure(
    "limit.classic",
    "pgbench: claim one, complete it, two transactions, no attempt row",
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
    "pgbench: claim 100, complete 100 with an attempt row each; the best of 1, 2, 4 clients",
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
    completed = cluster.one("select count(*) from {schema}.job where status = 'completed' and attempts = 1", schema)
    logged = cluster.one("select count(*) from {schema}.attempt join {schema}.job on id = job_id", schema)
    if not completed == logged == jobs:
        raise RuntimeError(f"pgbench completed {completed} and logged {logged} of {jobs} jobs")


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
