"""The statements of steve/_database/sql: their plans stay on the indexes whatever the table holds and the statistics say.

A statement is planned as it is sent: `PlannedScript` explains the statements instead of running them.
"""

import re
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import pq, sql
from psycopg.conninfo import make_conninfo

from steve import JobManager
from steve._database import migrations
from steve._database.connection import Route, prepare_for_call, prepare_for_loop
from steve._database.statements import statements_for
from steve._database.statements.audit import AuditStatements
from steve._database.statements.bulk import BulkStatements, End, Matching, Span
from steve._database.statements.callers import CallersScript
from steve._database.statements.claims import ClaimStatements
from steve._database.statements.completion import CompletionStatements, RunClaim
from steve._database.statements.control import ControlStatements
from steve._database.statements.fleet import FleetStatements
from steve._database.statements.jobs import Insert, JobStatements, Old, Options, Page, Terms
from steve._database.statements.processes import ProcessStatements
from steve._database.statements.records import Logged, Place, RecordStatements, Reported
from steve._database.statements.schedules import Said, ScheduleStatements, Seen, Tick
from steve._database.statements.script import Script
from steve._database.statements.settlement import SettlementStatements
from steve._database.statements.stats import Ask, StatStatements
from steve._database.statements.unique import UniqueStatements
from steve._database.statements.waits import WaitStatements
from steve._model.claim import Demand
from steve._model.claimed import Claimed, RunKey
from steve._model.log_text import Chunk, Cut
from steve._model.outcome import NotBegun, Verdict, judge
from steve._model.pauses import Paused
from steve._model.process import Process
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from steve._model.why.facts import JobFacts
from steve.job import AttemptStatus, NewJob, Status
from tests.conftest import until

# -- plans --------------------------------------------------------------------------------------------------------------


Node = dict[str, Any]

EXECUTIONS = 7
"""After five PostgreSQL may take one plan for all parameters, if the session's settings have not made it do so before."""

NUMBERS = count()
"""Of prepared statements: those of two scripts may live in one session."""


class Explained(Exception):
    """Instead of rows: the plans of the statement, as lists of their nodes."""

    def __init__(self, plans: list[list[Node]]) -> None:
        super().__init__(plans)
        self.plans = plans


class PlannedScript(Script):
    """A script whose statements are explained, `executions` times, and not run.

    `measured`: they are run, and rolled back, so that the plans say what was read. `kept`: they stay prepared, like those of a
    session that has been at work since the table was small.
    """

    def __init__(self, schema: str, *, measured: bool, kept: bool, executions: int) -> None:
        super().__init__(schema, Tuning())
        self._explain = "explain (format json, analyze, buffers, timing off)" if measured else "explain (format json, verbose)"
        self._kept = kept
        self._executions = executions
        self._prepared: dict[tuple[str, str], str] = {}

    def rows(
        self, connection: psycopg.Connection, name: str, parameters: dict[str, Any], prepare: bool | None = None
    ) -> list[tuple[Any, ...]]:
        statement = self.text(name)
        names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
        text = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement).replace("%%", "%")
        types = ", ".join(postgres_type(parameters[name]) for name in names)
        values = sql.SQL(", ").join(sql.Literal(parameters[name]) for name in names)
        plans = []
        for _ in range(self._executions):
            if (name, types) not in self._prepared:
                planned = self._prepared[name, types] = f"planned_{next(NUMBERS)}"
                connection.execute(f"prepare {planned} {f'({types})' if names else ''} as {text}".encode())
            given = "({})" if names else "{}"
            execute = sql.SQL(f"{self._explain} execute {self._prepared[name, types]} {given}").format(values)
            with connection.transaction(force_rollback=True):
                plans.append(nodes(connection.execute(execute).fetchone()[0][0]["Plan"]))
            if prepare is False:
                self._forget(connection, name, types)
        if not self._kept and prepare is not False:
            self._forget(connection, name, types)
        raise Explained(plans)

    def _forget(self, connection: psycopg.Connection, name: str, types: str) -> None:
        connection.execute(f"deallocate {self._prepared.pop((name, types))}".encode())


class Planned:
    """Sets of statements that are explained: see PlannedScript."""

    def __init__(self, schema: str, *, measured: bool = False, kept: bool = False, executions: int = EXECUTIONS) -> None:
        def script() -> PlannedScript:
            return PlannedScript(schema, measured=measured, kept=kept, executions=executions)

        self.jobs = JobStatements(script())
        self.unique = UniqueStatements(script())
        self.control = ControlStatements(script())
        self.bulk = BulkStatements(script())
        self.audit = AuditStatements(script())
        self.settlement = SettlementStatements(script())
        self.completion = CompletionStatements(script())
        self.waits = WaitStatements(script())
        self.processes = ProcessStatements(script())
        self.records = RecordStatements(script())
        self.fleet = FleetStatements(script())
        self.schedules = ScheduleStatements(script())
        self.stats = StatStatements(script())
        self._script = script
        self._claims: dict[tuple[str, ...] | None, ClaimStatements] = {}

    def claims(self, queues: tuple[str, ...] | None = None) -> ClaimStatements:
        """Of a pool that serves these queues, or all but those with a "-": they are in the text."""
        if queues not in self._claims:
            excluded = () if queues is None else tuple(name.removeprefix("-") for name in queues if name.startswith("-"))
            self._claims[queues] = ClaimStatements(self._script(), None if excluded else queues, excluded)
        return self._claims[queues]


def plans_of(method: Callable[..., object], *arguments: object) -> list[list[Node]]:
    """Of the statement behind a method of one of the sets in `Planned`."""
    with pytest.raises(Explained) as caught:
        method(*arguments)
    return caught.value.plans


@pytest.mark.parametrize(("seconds", "prepared"), [(1e9, 1), (1e-7, 0)])
def test_the_look_for_one_key_keeps_its_plan_for_some_seconds(
    conn: psycopg.Connection, schema: str, seconds: float, prepared: int
) -> None:
    unique = UniqueStatements(Script(schema, Tuning(young_plan=seconds)))
    migrations.migrate(conn, schema)
    for _ in range(10):
        assert unique.find_holder(conn, "a key", sparing=False) is None
        assert unique.find_holder(conn, "a key", sparing=True) is None
    texts = conn.execute("select count(*) from pg_prepared_statements where statement like '%%unique_key = %%'").fetchone()
    assert texts == (prepared,)


def postgres_type(value: object) -> str:
    """The type under which psycopg sends it."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "smallint" if abs(value) < 2**15 else "integer" if abs(value) < 2**31 else "bigint"
    return "unknown"


def nodes(plan: Node) -> list[Node]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


def verdicts(uids: list[UUID], kinds: int = 3) -> list[Verdict]:
    """One for each uid: in turn completed, to be tried again, and given back."""
    blank = Claimed(*[None] * len(Claimed._fields))._replace(lease_no=1, claimed_at=CLAIMED_AT)  # type: ignore[arg-type]
    jobs = [blank._replace(uid=uid) for uid in uids]
    made = (
        lambda job: Verdict(job, 0.0, Status.COMPLETED, AttemptStatus.SUCCESS, result='{"a": 1}'),
        lambda job: Verdict(job, 0.0, Status.PENDING, AttemptStatus.ERROR, error="no", details="why", delay=2.0),
        lambda job: judge(job, NotBegun(), None),
    )
    return [made[place % kinds](job) for place, job in enumerate(jobs)]


def demand(n: int, *, any_type: bool = False, types: int = 3, most: int | None = None, priorities: int | None = None) -> Demand:
    """`priorities`: look above the watermarks of so many; None: a full scan."""
    place = (datetime(2025, 1, 1, tzinfo=UTC), UUID(int=1))
    watermarks = None if priorities is None else dict.fromkeys(range(priorities), place)
    most = n if most is None else most
    return Demand(n, {f"type {number}": most for number in range(types)}, most, any_type, watermarks)


CLAIMS: dict[str, tuple[tuple[str, ...] | None, Demand]] = {
    "one": (None, demand(1)),
    "many": (None, demand(500)),
    "of any type": (None, demand(100, any_type=True)),
    "of a fallback alone": (None, demand(100, any_type=True, types=0)),
    "of two queues": (("default", "other"), demand(100)),
    "of all but two queues": (("-mail", "-other"), demand(100)),
    "few of each type": (None, demand(100, any_type=True, most=10)),
    "above a watermark": (None, demand(100, priorities=1)),
    "above many watermarks": (("default",), demand(500, priorities=50)),
}

# The crashed jobs are looked for in the same statement.
CLAIMS["of a job on its last chance"] = (None, demand(0, priorities=0)._replace(crashed=1, alone=True))
CLAIMS["of crashed jobs, too"] = (("default",), demand(10)._replace(crashed=10))

CLAIMED_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""Of every row below that was ever claimed."""

FILL = """
insert into {}.job (uid, type, status, attempts, lease_no, process_id, claimed_at, completed_at)
select lpad(to_hex(n), 32, '0')::uuid, 'type ' || n %% 5, %(status)s::text, 1, 1,
  case when %(status)s::text = 'running' then n %% 3 end,
  case when %(status)s::text <> 'pending' then '2026-01-01Z'::timestamptz end,
  case when %(status)s::text in ('completed', 'failed') then now() end
from generate_series(1, %(rows)s) as n
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """For the statements: another one than `conn`, since its session is changed."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


Fill = Callable[[int, str], list[UUID]]


@pytest.fixture
def filled(conn: psycopg.Connection, schema: str) -> Fill:
    """`filled(rows, status)`: tables with so many jobs and as many attempts, which PostgreSQL believes to be empty, and
    the uids of at most 500 of them."""

    def fill(rows: int, status: str) -> list[UUID]:
        migrations.migrate(conn, schema)
        for table in ("job", "attempt"):
            conn.execute(f"alter table {schema}.{table} set (autovacuum_enabled = off)")
            conn.execute(f"analyze {schema}.{table}")
        conn.execute(FILL.format(schema), {"status": status, "rows": rows})
        conn.execute(
            f"insert into {schema}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status) "
            f"select uid, 1, 1, 'p', now(), now(), 'success' from {schema}.job"
        )
        return [uid for (uid,) in conn.execute(f"select uid from {schema}.job order by uid desc limit 500").fetchall()]

    return fill


def assert_by_index(plans: list[list[Node]], what: object, *, bounded: bool = True, bitmap: bool = False) -> None:
    """No table is read from end to end, neither in its own order nor, if it is to be `bounded`, in that of an index.

    A plan made while the table is small is kept while it grows, and would go on to read all of it. Rows that are read by their
    place (a Tid Scan) were found by another node.
    """
    allowed = {"Index Scan", "Index Only Scan", "Tid Scan"} | ({"Bitmap Index Scan", "Bitmap Heap Scan"} if bitmap else set())
    for plan in plans:
        scans = [node for node in plan if node.get("Relation Name") in ("job", "attempt") and "Scan" in node["Node Type"]]
        assert scans, what
        assert {node["Node Type"] for node in scans} <= allowed, what
        assert not bounded or all({"Index Cond", "Recheck Cond", "TID Cond"} & node.keys() for node in scans), what


def indexes(plan: list[Node]) -> set[str]:
    """The indexes of the table job that it reads."""
    return {node["Index Name"] for node in plan if node.get("Relation Name") == "job" and "Index Name" in node}


@pytest.mark.parametrize("status", ["pending", "running"])
@pytest.mark.parametrize("rows", [1, 300, 50_000])
def test_the_statements_of_a_started_manager_use_indexes(
    rows: int, status: str, filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    uids = filled(rows, status)
    planned = Planned(schema)
    processes = planned.processes
    prepare_for_loop(connection, Route())
    for statistics in ("as empty", "freshly analysed"):
        if statistics == "freshly analysed":
            conn.execute(f"analyze {schema}.job, {schema}.attempt")
        for what, (queues, wanted) in CLAIMS.items():
            plans = plans_of(planned.claims(queues).claim_jobs, connection, 1, 3, wanted)
            assert_by_index(plans, ("claim", what, statistics), bounded=False)
            for plan in plans:
                assert indexes(plan) == {"job_due", "job_suspect"}
                for node in plan:
                    if "crashes > 0" in str(node.get("Filter")) + str(node.get("Index Cond")) or "crashes + 1" in str(node):
                        assert node.get("Index Name", "job_suspect") == "job_suspect"
                # By the index alone, a look reads from the watermark of a priority to its first job that is not yet due: for
                # jobs, and for the last due one.
                conditions = [str(node.get("Index Cond")) for node in plan if node.get("Index Name") == "job_due"]
                looks = [re.sub(r"\((\w+\.\w+)\)::\w+( with time zone)?", r"\1", text) for text in conditions]  # domains
                bounded = [look for look in looks if "priority = " in look and "run_at <= now()" in look and "ROW(" in look]
                assert len(bounded) == 2
                assert [look for look in looks if "priority = " in look and "run_at > now()" in look], "the next due job"
                assert len([look for look in looks if "priority < " in look]) == 2, "the first step and the next"
            if wanted.watermarks is None:
                plans = plans_of(planned.claims(queues).claim_jobs, connection, 1, 3, wanted._replace(peek=True))
                assert_by_index(plans, ("peek", what, statistics), bounded=False)
                for plan in plans:
                    assert indexes(plan) == {"job_due"}
                    conditions = [node.get("Index Cond") for node in plan if node.get("Index Name") == "job_due"]
                    assert len(conditions) == 2
                    assert any("priority < " in str(condition) for condition in conditions), "the step to the next priority"
            plans = plans_of(planned.claims(queues).find_heads, connection, wanted)
            assert_by_index(plans, ("heads", what, statistics), bounded=False)
            for plan in plans:
                assert indexes(plan) == {"job_ready"}
                assert len([node for node in plan if "ROW(" in str(node.get("Index Cond"))]) == 1, "the step to the next lane"
            plans = plans_of(planned.claims(queues).time_full_scan, connection, wanted)
            assert_by_index(plans, ("time", what, statistics), bounded=False)
            for plan in plans:
                assert indexes(plan) == {"job_due"}
                conditions = [str(node.get("Index Cond")) for node in plan if node.get("Index Name") == "job_due"]
                looks = [re.sub(r"\((\w+\.\w+)\)::\w+( with time zone)?", r"\1", text) for text in conditions]  # domains
                assert len([look for look in looks if "priority = " in look and "run_at <= now()" in look]) == 1
        for group in (uids[:1], uids[:20], uids):
            plans = plans_of(planned.settlement.settle_jobs, connection, "host:1", verdicts(group), 1.0, True, True)
            assert_by_index(plans, ("settle", len(group), statistics))
            # not by job_claimed, which is the rescue's own and holds every running job
            assert {index for plan in plans for index in indexes(plan)} == {"job_pkey"}
            plans = plans_of(processes.find_held, connection, [(uid, 1) for uid in group])
            assert_by_index(plans, ("held", len(group), statistics), bounded=rows >= 1_000)
            assert {index for plan in plans for index in indexes(plan)} == {"job_pkey"}
            plans = plans_of(planned.settlement.find_settled, connection, "host:1", verdicts(group))
            assert_by_index(plans, ("written", len(group), statistics))
            assert {index for plan in plans for index in indexes(plan)} == {"job_pkey"}
            plans = plans_of(planned.settlement.settle_unlocked, connection, "host:1", verdicts(group), 1.0, True, True)
            assert_by_index(plans, ("unlocked", len(group), statistics))
            assert {index for plan in plans for index in indexes(plan)} == {"job_pkey"}
            tell = partial(planned.settlement.settle_jobs, awaited=True)
            plans = plans_of(tell, connection, "host:1", verdicts(group), 1.0, True, True)
            assert_by_index(plans, ("settle and tell", len(group), statistics))
            assert {index for plan in plans for index in indexes(plan)} == {"job_pkey"}
            plans = plans_of(partial(planned.waits.find_ended, prepare=True), connection, group)
            assert_by_index(plans, ("ended", len(group), statistics))
            assert {index for plan in plans for index in indexes(plan)} == {"job_pkey"}
            plans = plans_of(planned.settlement.find_blockers, connection, group)
            assert_by_index(plans, ("blockers", len(group), statistics))
            assert {index for plan in plans for index in indexes(plan)} == {"job_pkey"}
        plans = plans_of(partial(planned.claims().expire_jobs, notify=True), connection)
        assert_by_index(plans, ("expire", statistics))
        assert {index for plan in plans for index in indexes(plan)} == {"job_expiry", "job_pkey"}
        assert_by_index(plans_of(planned.jobs.find_jobs, connection, uids[:1]), ("find", statistics))
        # Of job_claimed: the jobs of one process, and the step from each process to the next.
        dead = Process(1, "host:1", 60.0, 0.0, None, True)
        rescue = partial(processes.rescue_jobs, max_crashes=3, notify=True)
        plans = plans_of(rescue, connection, dead, True, "it died", uids[:3])
        assert_by_index(plans, ("rescue", statistics), bounded=rows > 1 or statistics == "as empty")
        assert {index for plan in plans for index in indexes(plan)} == {"job_claimed", "job_pkey"}
        plans = plans_of(
            partial(processes.free_jobs, max_crashes=3, notify=True), connection, 1, [(UUID(int=1), 1)], "it lost it"
        )
        assert_by_index(plans, ("free", statistics), bounded=rows > 1 or statistics == "as empty")
        assert {index for plan in plans for index in indexes(plan)} <= {"job_claimed", "job_pkey"}
        plans = plans_of(processes.review_claims, connection, 1, 60.0)
        assert_by_index(plans, ("review", statistics), bounded=False)
        assert {index for plan in plans for index in indexes(plan)} == {"job_claimed"}


HISTORY = """
insert into {schema}.job
  (uid, queue, type, priority, status, attempts, lease_no, process_id, claimed_at, completed_at, run_at, process, unique_key,
   started_at)
select
  lpad(to_hex(n), 32, '0')::uuid, case when n % 10 = 0 then 'other' else 'default' end, 'type ' || n % 5, n % 3, status,
  (status <> 'pending')::integer, (status <> 'pending')::integer,
  case when status = 'running' then n % 3 end,
  case when status <> 'pending' then '2026-01-01Z'::timestamptz end,
  case when status in ('completed', 'failed') then now() end,
  case when status = 'pending' and n % 2 = 0 then now() + interval '10 days' else now() end,
  case when status = 'completed' and n % 2 = 0 then 'host:1' end,
  case when n % 20 = 0 then 'key ' || n end,
  case when status in ('completed', 'failed') then now() end
from (
  select n, case
    when n <= {finished} then case when n % 50 = 0 then 'failed' else 'completed' end
    when n <= {finished} + {running} then 'running'
    else 'pending'
  end as status
  from generate_series(1, {rows}) as n
) as job;
insert into {schema}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status)
select lpad(to_hex(n), 32, '0')::uuid, 1, 1, 'host:1', now(), now(), case when n % 50 = 0 then 'error' else 'success' end
from generate_series(1, {finished}) as n
where n % 2 = 1 or n % 50 = 0
"""
"""In the order of their uids: finished, running and pending jobs, half of which are due in ten days. Half of those that
completed did so at once, and have no row in the log. One of twenty has a unique key."""


@pytest.mark.parametrize(("rows", "running", "pending"), [(1_000, 100, 200), (100_000, 500, 5_000), (500_000, 50_000, 5_000)])
def test_no_statement_reads_more_the_longer_the_history(
    rows: int,
    running: int,
    pending: int,
    connection: psycopg.Connection,
    conn: psycopg.Connection,
    database_url: str,
    schema: str,
) -> None:
    """With plans made while the table was empty and new ones, by statistics of the empty table and fresh ones."""
    migrations.migrate(conn, schema)
    for table in ("job", "attempt"):
        conn.execute(f"alter table {schema}.{table} set (autovacuum_enabled = off)")
        conn.execute(f"alter table {schema}.{table} set unlogged")  # filled in three quarters of the time
        conn.execute(f"analyze {schema}.{table}")
    finished = rows - running - pending
    done = [UUID(int=n) for n in range(1, 501)]
    held = [UUID(int=n) for n in range(finished + 1, finished + 1 + min(running, 500))]
    prepare_for_loop(connection, Route())
    with psycopg.connect(database_url, autocommit=True) as caller:
        prepare_for_call(caller, Route())
        # Statements that write are run twice: the first run clears away the index entries that earlier roll-backs left.
        kept, new = (
            [Planned(schema, measured=True, kept=kept, executions=executions) for executions in (2, EXECUTIONS)]
            for kept in (True, False)
        )

        def explained(loop: Planned, call: Planned) -> Iterator[tuple[object, list[list[Node]], int, int]]:
            """Of each statement: its plans, how many pages it may look at, and how many rows it may pass over: a claim passes
            pending jobs that others serve, and nothing else passes any."""
            yield "find", plans_of(call.jobs.find_jobs, caller, [UUID(int=7)]), 10, 0
            if rows > 1_000:  # a small table may well be read whole
                for n in (7, 8):  # with a row in the log, and without
                    yield ("log", n), plans_of(call.jobs.list_attempts, caller, UUID(int=n)), 20, 0
                yield "attempt under way", plans_of(call.jobs.find_running, caller, UUID(int=7)), 20, 1  # it has ended
                for before in (None, UUID(int=500)):
                    yield ("page", before), plans_of(call.jobs.list_jobs, caller, Page(None, None, None, 100, before)), 30, 0
            for what, (queues, wanted) in CLAIMS.items():
                claims, n = loop.claims(queues), wanted.n
                yield ("claim", what), plans_of(claims.claim_jobs, connection, 1, 3, wanted), 500 + 10 * n, 100 + 2 * n
                yield (
                    ("heads", what),
                    plans_of(claims.find_heads, connection, wanted),
                    300,
                    0,
                )  # the roll-backs below widen the index
                yield ("time", what), plans_of(claims.time_full_scan, connection, wanted), 500 + 10 * n, 100 + 2 * n
            yield "peek", plans_of(loop.claims().claim_jobs, connection, 1, 3, demand(1)._replace(peek=True)), 50, 0
            for n in (1, 20, len(held)):
                settle = plans_of(loop.settlement.settle_jobs, connection, "host:1", verdicts(held[:n]), 1.0, True, True)
                yield ("settle", n), settle, 10 + 8 * n, 0
                written = plans_of(loop.settlement.find_settled, connection, "host:1", verdicts(done[:n]))
                yield ("written", n), written, 10 + 12 * n, 0
            yield "unanswered", plans_of(loop.claims().find_claimed, connection, 1, []), 50 + running // 2, 0
            yield "asked", plans_of(loop.control.find_cancel_asked, connection, 1), 20, 0
            yield "expired", plans_of(partial(loop.claims().expire_jobs, notify=True), connection), 20, 0
            if rows > 1_000:
                yield from changes(call)

        def changes(call: Planned) -> Iterator[tuple[object, list[list[Node]], int, int]]:
            """The same of each statement that changes jobs for a caller."""
            control, bulk, unique = call.control, call.bulk, call.unique
            waits, runs, failed, completed = (UUID(int=n) for n in (finished + running + 1, finished + 1, 100, 102))
            for what, plans in {
                "cancel a pending one": plans_of(control.cancel_job, caller, waits, "why", "Cancelled: why", True),
                "cancel a running one": plans_of(control.cancel_job, caller, runs, "why", "Cancelled: why", True),
                "retry": plans_of(control.retry_job, caller, failed, 3, False, True),
                "retry a completed one": plans_of(control.retry_job, caller, completed, None, True, True),
                "reschedule": plans_of(control.reschedule_job, caller, waits, None, timedelta(1), True),
                "set the priority": plans_of(control.set_priority, caller, waits, 7, True),
                "delete": plans_of(control.delete_job, caller, completed, True),
                "holder": plans_of(control.find_holder, caller, failed),
            }.items():
                yield ("call", what), plans, 60, 0
            end = End(UUID(int=rows), datetime.now(UTC))
            any_time = (None,) * 6
            for place, status in ((1, "failed"), (finished // 2, "failed"), (finished + running, "pending")):
                look = 20_000
                for what, matching in (
                    ("none", Matching([status], "no such type", None, *any_time)),
                    ("some", Matching([status], "type 0", None, *any_time)),
                ):
                    span = Span(end, UUID(int=place), look, 500)
                    calls = {
                        "cancel": partial(plans_of, bulk.cancel_jobs, caller, matching, span, True, None, "Cancelled", True),
                        "retry": partial(plans_of, bulk.retry_jobs, caller, matching, span, True, None),
                        "delete": partial(plans_of, bulk.delete_jobs, caller, matching, span, True),
                    }
                    for name in ("cancel",) if status == "pending" else ("retry", "delete"):
                        plans = calls[name]()
                        yield ("call", "batch", name, what, place), plans, 3 * look, look + 1
            yield (
                ("call", "prune"),
                plans_of(call.jobs.prune_jobs, caller, Old({"failed": timedelta(1)}), None, 1_000),
                5_000,
                0,
            )
            jobs = [keyed(rows - 20 * number, 60.0) for number in range(20)] + [keyed(20 * number) for number in range(20)]
            yield ("call", "open key"), plans_of(partial(unique.find_holder, sparing=True), caller, f"key {rows}"), 20, 0
            yield ("call", "keys"), plans_of(partial(unique.find_unique, sparing=True, resent=True), caller, jobs), 1_000, 0
            insert = plans_of(partial(unique.insert_unique_jobs, sparing=True), caller, jobs, False)
            yield ("call", "insert"), insert, 1_000, 0
            replace = plans_of(partial(unique.replace_jobs, sparing=True, keep=60.0), caller, jobs, False)
            yield ("call", "replace"), replace, 2_000, 0
            at_once = plans_of(unique.create_unique_jobs, caller, jobs, False)
            yield ("call", "create at once"), at_once, 3_000, 2 * len(jobs)  # those that replace nothing

        assert list(explained(*kept))  # prepares them
        conn.execute(HISTORY.format(schema=schema, rows=rows, running=running, finished=finished).encode())
        for statistics in ("as empty", "freshly analysed"):
            for since, planned in {"of the empty table": kept, "new": new}.items():
                if statistics == "freshly analysed":  # without the entries that rolled back changes have left in the indexes
                    conn.execute(f"vacuum (analyze) {schema}.job, {schema}.attempt")
                for what, plans, pages, in_vain in explained(*planned):
                    if "batch" in what and statistics == "as empty":
                        continue  # a batch may read more until the table is analysed
                    assert_by_index(plans, (what, statistics, since), bounded=False, bitmap="log" in what or "call" in what)
                    assert pages_read(plans[-1]) <= pages, (what, statistics, since)
                    assert rows_read_in_vain(plans[-1]) <= in_vain, (what, statistics, since)


class PlannedForCaller(CallersScript):
    """A script for a transaction of a caller's, whose statements are explained. Nothing is prepared there."""

    def rows(
        self, connection: psycopg.Connection, name: str, parameters: dict[str, Any], prepare: bool | None = None
    ) -> list[tuple[Any, ...]]:
        text = f"explain (format json, analyze, buffers, timing off) {self.text(name)}"
        values = parameters | {"due_by": self.horizon.due_by}
        with connection.transaction(force_rollback=True):
            raise Explained([nodes(connection.execute(text.encode(), values, prepare=False).fetchone()[0][0]["Plan"])])


DRAINS = {
    "a job": demand(1),
    "a job of any type": demand(1, any_type=True),
    "a job beside a pause": demand(1)._replace(paused=[Paused("mail", None)]),
    "a job that crashed": demand(0)._replace(crashed=1),
    "a job on its last chance": demand(0)._replace(crashed=1, alone=True),
}
"""What a drain looks for, one after the other."""


@pytest.mark.parametrize("days", [None, 1, 20], ids=["due now", "due tomorrow", "all due"])
def test_the_claims_of_a_drain_are_bounded_whatever_its_horizon(
    days: int | None, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    """In the session of a caller, which has no settings of ours. Half of the pending jobs are due in ten days."""
    migrations.migrate(conn, schema)
    conn.execute(HISTORY.format(schema=schema, rows=50_000, running=500, finished=44_500).encode())
    conn.execute(f"vacuum (analyze) {schema}.job, {schema}.attempt")
    script = PlannedForCaller(Settings(schema=schema))
    script.horizon.due_by = None if days is None else datetime.now(UTC) + timedelta(days)
    for queues in (None, ["default", "other"]):
        claims = ClaimStatements(script, queues)
        for what, wanted in DRAINS.items():
            plans = plans_of(claims.claim_jobs, connection, 1, 3, wanted)
            plans += plans_of(claims.find_heads, connection, wanted)
            assert_by_index(plans, (what, queues), bounded=False)
            assert max(map(pages_read, plans)) <= 500, (what, queues)
            assert max(map(rows_read_in_vain, plans)) <= 100, (what, queues)


def pages_read(plan: list[Node]) -> int:
    """By scans of tables; pages that are written do not count, nor the look-up of each job's progress, by its key."""

    def of(node: Node) -> int:
        return int(node["Shared Hit Blocks"] + node["Shared Read Blocks"])

    progress = [node for node in plan if node.get("Relation Name") == "progress" and is_table_scan(node)]
    assert all("Index Cond" in node or "Recheck Cond" in node for node in progress)
    return sum(of(node) for node in plan if is_table_scan(node) and node not in progress) - sum(map(of, progress))


def rows_read_in_vain(plan: list[Node]) -> int:
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return sum(node.get(of, 0) * node["Actual Loops"] for node in plan if is_table_scan(node) for of in removed)


def is_table_scan(node: Node) -> bool:
    return "Relation Name" in node and "Scan" in node["Node Type"]


def keyed(number: int, window: float | None = None) -> Insert:
    """A new job with a key that the table has, if it has so many rows."""
    options = Options(unique=f"key {number}", on_conflict="replace", unique_for=window, tags='{"n": 1}')
    return Insert(2**100 + number, "{}", Terms("default", "a", 0, 3, "exp", 2.0, 3600.0, 0.0, None, options))


@pytest.mark.parametrize("rows", [300, 50_000])
def test_the_statements_for_jobs_with_keys_use_indexes(
    rows: int, filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    """A small table may be read whole, since the statements are planned each time."""
    filled(rows, "pending")
    conn.execute(
        f"update {schema}.job set unique_key = 'key ' || n from "
        f"(select uid, row_number() over (order by uid) as n from {schema}.job) as numbered where numbered.uid = job.uid"
    )
    conn.execute(f"insert into {schema}.unique_window select unique_key, now(), uid from {schema}.job")
    conn.execute(f"insert into {schema}.replacement select uid, uid, now() from {schema}.job")
    tables = f"{schema}.job, {schema}.unique_window, {schema}.replacement"
    prepare_for_call(connection, Route())
    unique = Planned(schema).unique
    for statistics in ("as empty", "freshly analysed"):
        if statistics == "freshly analysed":
            conn.execute(f"analyze {tables}")
        if statistics == "as empty" or rows < 1_000:
            connection.execute("set enable_seqscan = off")  # only whether there is an index for it
        else:
            connection.execute("reset enable_seqscan")
        plans = plans_of(partial(unique.find_holder, sparing=True), connection, "key 7")
        assert_by_index(plans, ("holder", statistics), bitmap=True)
        assert {index for plan in plans for index in indexes(plan)} <= {"job_unique"}
        for n in (1, 20):
            jobs = [keyed(number, 60.0) for number in range(n)]
            plans = plans_of(partial(unique.find_unique, sparing=True, resent=True), connection, jobs)
            assert_by_index(plans, ("unique", n, statistics), bounded=rows > 1_000, bitmap=True)
            plans = plans_of(partial(unique.insert_unique_jobs, sparing=True), connection, jobs, False)
            assert_by_index(plans, ("insert", n, statistics), bounded=rows > 1_000, bitmap=True)
            plans = plans_of(partial(unique.replace_jobs, sparing=True, keep=60.0), connection, jobs, False)
            assert_by_index(plans, ("replace", n, statistics), bounded=rows > 1_000, bitmap=True)
            assert {index for plan in plans for index in indexes(plan)} == {"job_unique", "job_pkey"}, "not job_claimed"
            plans = plans_of(unique.create_unique_jobs, connection, jobs, False)
            assert_by_index(plans, ("at once", n, statistics), bounded=rows > 1_000, bitmap=True)
            assert {index for plan in plans for index in indexes(plan)} >= {"job_unique", "job_pkey"}
            plans = plans_of(unique.close_windows, connection, jobs)
            assert_by_index(plans, ("close", n, statistics), bounded=rows > 1_000, bitmap=True)
            for plan in plans:
                assert not [node for node in plan if node["Node Type"] == "Seq Scan"], ("close", n, statistics)
    prepare_for_loop(connection, Route())
    for plan in plans_of(unique.clean_windows, connection, 1_000):
        scans = {node["Index Name"] for node in plan if "Index Name" in node}
        assert scans == {"unique_window_until", "unique_window_pkey", "replacement_until", "replacement_pkey"}
        assert not [node for node in plan if node["Node Type"] == "Seq Scan"]


TAGGED = """
insert into {schema}.job (uid, type, status, attempts, lease_no, claimed_at, completed_at, tags)
select lpad(to_hex(n), 32, '0')::uuid, 'a', 'completed', 1, 1, now(), now(),
  jsonb_build_object('tenant', case when n % 2000 = 1 then 'few' when n % 2 = 0 then 'half' else 'x' || n % 500 end, 'order', n)
from generate_series(1, {rows}) as n
"""


@pytest.mark.parametrize("rows", [100_000])
def test_a_page_by_tags_reads_few_rows_whether_few_jobs_have_them_or_many(
    rows: int, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    migrations.migrate(conn, schema)
    conn.execute(f"alter table {schema}.job set (autovacuum_enabled = off)")
    conn.execute(TAGGED.format(schema=schema, rows=rows).encode())
    # ANALYZE reads all rows then: from a sample it may estimate that a hundred times as many jobs have the tag of a few.
    conn.execute(f"alter table {schema}.job alter tags set statistics 1000")
    conn.execute(f"vacuum analyze {schema}.job")
    prepare_for_call(connection, Route())
    jobs = Planned(schema, measured=True).jobs
    for tags, used, pages in (
        ('{"tenant": "half"}', "job_pkey", 50),
        ('{"tenant": "few"}', "job_tags", 100),
        ('{"order": 5}', "job_tags", 20),
        ('{"tenant": "none"}', "job_tags", 20),
    ):
        for plan in plans_of(jobs.list_jobs, connection, Page(None, None, None, 100, None, tags)):
            assert {node["Index Name"] for node in plan if "Index Name" in node} - {"progress_pkey"} == {used}, tags
            assert not [node for node in plan if "Seq Scan" in node["Node Type"]], tags
            assert pages_read(plan) <= pages, tags


def test_a_plain_job_has_no_entry_in_the_indexes_of_options(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    def sizes() -> list[tuple[str, int]]:
        query = "select relname, pg_relation_size(oid) from pg_class where relname in ('job_unique', 'job_tags') order by 1"
        return conn.execute(query.replace("where", "where relnamespace = %s::regnamespace and"), [schema]).fetchall()

    before = sizes()
    manager.create_many([("a", {})] * 2_000)
    assert sizes() == before
    manager.create_many([NewJob("a", unique=f"k{number}", tags={"n": number}) for number in range(2_000)])
    assert all(after > size for (_, after), (_, size) in zip(sizes(), before, strict=True))


def test_pruning_walks_the_primary_key(
    filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    last = filled(50_000, "completed")[-1]
    prepare_for_call(connection, Route())
    for statistics in ("as empty", "freshly analysed"):
        if statistics == "freshly analysed":
            conn.execute(f"analyze {schema}.job, {schema}.attempt")
        plans = plans_of(Planned(schema).jobs.prune_jobs, connection, Old({"completed": timedelta(0)}), last, 1_000)
        assert_by_index(plans, ("prune", statistics), bitmap=True)
        assert {index for plan in plans for index in indexes(plan)} == {"job_pkey"}


@pytest.mark.parametrize(("rows", "status"), [(1, "pending"), (50_000, "pending"), (50_000, "completed"), (50_000, "running")])
def test_a_call_about_one_job_goes_to_it_by_its_key(
    rows: int, status: str, filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    uid = filled(rows, status)[-1]
    planned = Planned(schema)
    control = planned.control
    for session in (prepare_for_call, None):  # of the caller's own session nothing is known
        if session is not None:
            session(connection, Route())
        for statistics in ("as empty", "freshly analysed"):
            if statistics == "freshly analysed":
                conn.execute(f"analyze {schema}.job, {schema}.attempt")
            for what, plans in {
                "cancel": plans_of(control.cancel_job, connection, uid, "why", "Cancelled: why", True),
                "retry": plans_of(control.retry_job, connection, uid, 3, True, True),
                "reschedule": plans_of(control.reschedule_job, connection, uid, None, timedelta(1), True),
                "set_priority": plans_of(control.set_priority, connection, uid, 7, True),
                "delete": plans_of(control.delete_job, connection, uid, True),
                "holder": plans_of(control.find_holder, connection, uid),
                "complete": plans_of(
                    partial(planned.completion.complete_job, tell=True),
                    connection,
                    "host:1",
                    RunClaim(uid, 1, CLAIMED_AT, 0.0),
                    "1",
                ),
                "lease": plans_of(planned.completion.find_lease, connection, RunClaim(uid, 1, CLAIMED_AT, 0.0)),
                "lock": plans_of(planned.completion.is_locked, connection, uid),
                "ended": plans_of(partial(planned.waits.find_ended, prepare=False), connection, [uid]),
            }.items():
                if rows > 1:  # a table of one row may well be read whole
                    assert_by_index(plans, (what, status, statistics), bitmap=True)
                    used = {index for plan in plans for index in indexes(plan)}
                    assert used <= {"job_pkey", "attempt_pkey"} | ({"job_unique"} if what in ("holder", "retry") else set())


MANY_LANES = """
insert into {schema}.job (uid, queue, type, priority, run_at)
select lpad(to_hex(n), 32, '0')::uuid, 'queue ' || n % 40, 'type ' || n % 50, n % 7 - 3,
  now() + case when n % 3 = 0 then 1 else -1 end * n * interval '1 ms'
from generate_series(1, {rows}) as n;
insert into {schema}.process (id, name, version, info)
select n, 'host:' || n, '1', jsonb_build_object('types', (select jsonb_agg('type ' || m) from generate_series(0, 49) as m))
from generate_series(1, 200) as n;
insert into {schema}.audit (actor, action, filter, done)
select 'ada', 'cancel', jsonb_build_object('job', n), 1 from generate_series(1, 1000) as n
"""


@pytest.mark.parametrize("rows", [300, 50_000])
def test_why_reads_few_entries_of_the_indexes(
    rows: int, filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    """It looks at the job itself, and at pending jobs only up to a limit, from the beginning of each priority."""
    filled(0, "pending")
    conn.execute(MANY_LANES.format(schema=schema, rows=rows))
    job = JobFacts("pending", "queue 1", "type 1", -2, CLAIMED_AT + timedelta(3650), *[None] * 13)  # type: ignore[arg-type]
    limit = statements_for(Settings(schema=schema)).fleet.limited
    for session in (prepare_for_call, None):  # of the session of a pooler nothing is known
        if session is not None:
            session(connection, Route())
        for statistics in ("as empty", "freshly analysed"):
            if statistics == "freshly analysed":
                conn.execute(f"analyze {schema}.job, {schema}.attempt")
            for measured in (False, True):
                fleet = Planned(schema, measured=measured, executions=1).fleet
                with limit(connection, 30.0):
                    before = plans_of(fleet.count_before, connection, UUID(int=1), job, 100)
                    case = plans_of(fleet.find_case, connection, UUID(int=1))
                    lockers = plans_of(fleet.find_lockers, connection, UUID(int=1))
                what = (rows, statistics, measured)
                assert_by_index(before, what, bounded=False)
                assert {index for plan in before for index in indexes(plan)} == {"job_due"}, what
                for plans in (case, lockers):
                    assert_by_index(plans, what)
                    assert {index for plan in plans for index in indexes(plan)} == {"job_pkey"}, what
                (plan,) = case
                assert {node.get("Index Name") for node in plan if node.get("Relation Name") == "audit"} == {"audit_at"}
                if measured:
                    read = sum(node["Actual Rows"] * node["Actual Loops"] for node in before[0] if "Index Name" in node)
                    assert read <= 7 + 7 + 5 * 100 + 100, "the priorities, and of each no more than the limit"


FILL_RECORDS = """
insert into {schema}.log (job_uid, lease_no, claimed_at, first_line, last_line, attempt, shift, lines)
select uid, 1, '2026-01-01Z', n * 10, n * 10 + 9, 1, 0, '[]' from {schema}.job cross join generate_series(0, 3) as n;
insert into {schema}.progress (job_uid, lease_no, claimed_at, report, done, at)
select uid, 1, '2026-01-01Z', 1, 1, now() from {schema}.job
"""


@pytest.mark.parametrize("rows", [1, 300, 20_000])
def test_what_runs_leave_is_found_by_the_keys_of_their_jobs(
    rows: int, filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    uids = filled(rows, "running")
    for table in ("log", "progress"):
        conn.execute(f"alter table {schema}.{table} set (autovacuum_enabled = off)")
        conn.execute(f"analyze {schema}.{table}")
    conn.execute(FILL_RECORDS.format(schema=schema).encode())
    records = Planned(schema).records
    runs = [RunKey(uid, 1, CLAIMED_AT) for uid in uids]
    logged = [Logged(run, 1, [Chunk(40, 40, "[]"), Chunk(41, 41, "[]")], Cut(10, 30)) for run in runs]
    reported = [Reported(run, 2, 1.0, None, None, 0.0) for run in runs]
    prepare_for_loop(connection, Route())
    for statistics in ("as empty", "freshly analysed"):
        if statistics == "freshly analysed":
            conn.execute(f"analyze {schema}.job, {schema}.log, {schema}.progress")
        for number in (1, 50, 500):
            for what, plans in {
                "log": plans_of(partial(records.write_log, limited=True), connection, logged[:number], 0.0),
                "progress": plans_of(partial(records.write_progress, limited=True), connection, reported[:number]),
            }.items():
                assert_by_index(plans, (what, number, statistics))
                for plan in plans:
                    assert indexes(plan) == {"job_pkey"}
                    found = [node for node in plan if node.get("Relation Name") == "log" and "Index" in node["Node Type"]]
                    assert all(node["Index Name"] == "log_pkey" and "Index Cond" in node for node in found), (what, statistics)
    prepare_for_call(connection, Route())
    for what, plans in {
        "list": plans_of(records.list_log, connection, uids[0], None),
        "follow": plans_of(records.follow_log, connection, uids[0], Place(1, CLAIMED_AT, 10, 19)),
    }.items():
        for plan in plans if rows > 300 else []:  # a small table may well be read whole
            assert not [node for node in plan if "Seq Scan" in node["Node Type"]], what
            assert {node.get("Index Name") for node in plan if "Index Cond" in node} >= {"log_pkey"}, what


FILL_LANES = """
insert into {schema}.job (queue, type, status, priority, run_at, process_id, claimed_at)
select 'q' || n % 20, 't' || n % 10, case when n % 20 = 7 then 'running' else 'pending' end, n % 2,
  now() - n * interval '1 ms', case when n % 20 = 7 then n % 5 end, case when n % 20 = 7 then now() end
from generate_series(1, {rows}) as n;
insert into {schema}.job (type, status, completed_at) select 'old', 'completed', now() from generate_series(1, {rows});
insert into {schema}.stat (minutes, at, process_id, queue, type, completed, run_hist)
select minutes, date_bin('1 minute', now() - n * interval '1 minute', '2000-01-01Z'), n % 3, 'q', 't', 1, 1000000000001
from generate_series(1, {rows}) as n, unnest(array[0, 1, 10, 60, 1440]) as minutes
"""


@pytest.mark.parametrize("rows", [300, 20_000])
def test_figures_are_read_and_written_by_indexes(
    rows: int, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    migrations.migrate(conn, schema)
    for table in ("job", "stat"):
        conn.execute(f"alter table {schema}.{table} set (autovacuum_enabled = off)")
        conn.execute(f"analyze {schema}.{table}")
    conn.execute(FILL_LANES.format(schema=schema, rows=rows).encode())
    stats = Planned(schema).stats
    now = datetime.now(UTC)
    ask = Ask(None, None, timedelta(hours=1), None, None)
    for session in (prepare_for_call, prepare_for_loop):
        session(connection, Route())
        for statistics in ("as empty", "freshly analysed"):
            if statistics == "freshly analysed":
                conn.execute(f"analyze {schema}.job, {schema}.stat")
            with connection.transaction():
                # of the other statements of the transaction, begin_stats.sql says this
                connection.execute("set local enable_seqscan = off")
                connection.execute("set local enable_bitmapscan = off")
                for queue in (None, "q7"):
                    for what, used, plans in (
                        ("pending", "job_ready", plans_of(stats.count_pending, connection, queue, 1_000)),
                        ("lanes", "job_ready", plans_of(stats.count_lanes, connection, queue, 1_000)),
                        ("running", "job_claimed", plans_of(stats.count_running, connection, 1_000)),
                    ):
                        assert_by_index(plans, (what, queue, statistics), bounded=False)
                        assert {index for plan in plans for index in indexes(plan)} == {used}, (what, queue, statistics)
                        if what == "lanes":
                            for plan in plans:
                                looks = [str(node.get("Index Cond")) for node in plan if node.get("Index Name") == used]
                                assert len([look for look in looks if "ROW(" in look]) == 1, "the step to the next lane"
                                assert len([look for look in looks if "priority = " in look]) == 1
                                keys = [key for node in plan if "Sort" in node["Node Type"] for key in node["Sort Key"]]
                                assert all("lane." in key for key in keys), "only the lanes are sorted, to add them up"
                oldest = plans_of(stats.find_oldest, connection)
                assert_by_index(oldest, ("oldest", statistics), bounded=False)
                assert {index for plan in oldest for index in indexes(plan)} == {"job_due"}, statistics
                for plan in plans_of(stats.sum_stat, connection, ask, now - timedelta(hours=1), now, now):
                    assert_stat_by_key(plan, statistics)
    prepare_for_loop(connection, Route())
    for plan in plans_of(stats.merge_stat, connection, 100) + plans_of(stats.prune_stat, connection, 100):
        assert_stat_by_key(plan, "duty")


def assert_stat_by_key(plan: list[Node], what: str) -> None:
    scans = [node for node in plan if node.get("Relation Name") == "stat" and "Scan" in node["Node Type"]]
    assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan", "Tid Scan"}, what
    for node in scans:
        assert "minutes" in str(node.get("Index Cond", "")) or "TID Cond" in node, what


@pytest.mark.parametrize("rows", [1, 50_000])
def test_the_look_for_asked_cancels_reads_its_own_index_alone(
    rows: int, filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    prepare_for_loop(connection, Route())
    filled(rows, "running")
    for statistics in ("as empty", "freshly analysed"):
        if statistics == "freshly analysed":
            conn.execute(f"analyze {schema}.job")
        plans = plans_of(Planned(schema).control.find_cancel_asked, connection, 1)
        assert_by_index(plans, (rows, statistics), bounded=False)
        assert {index for plan in plans for index in indexes(plan)} == {"job_cancel_asked"}


PAUSED = [Paused("q", None), Paused(None, "type 9"), Paused("r", "type 1")]

PAUSED_FILL = """
insert into {}.job (uid, queue, type, priority, run_at)
select lpad(to_hex(n), 32, '0')::uuid, case when n > %(paused)s then 'default' else 'q' end, 'type ' || n %% 3, n %% 2,
  now() - interval '1 hour' + n * interval '1 millisecond'
from generate_series(1, %(rows)s) as n
order by %(paused)s - n, n
"""


@pytest.mark.parametrize("rows", [1, 300, 50_000])
def test_beside_a_pause_a_claim_and_a_look_use_indexes(
    rows: int, filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    filled(rows, "pending")
    planned = Planned(schema)
    prepare_for_loop(connection, Route())
    for statistics in ("as empty", "freshly analysed"):
        if statistics == "freshly analysed":
            conn.execute(f"analyze {schema}.job")
        for what, (queues, wanted) in CLAIMS.items():
            wanted = wanted._replace(paused=PAUSED)
            plans = plans_of(planned.claims(queues).claim_jobs, connection, 1, 3, wanted)
            assert_by_index(plans, ("claim", what, statistics), bounded=False)
            for plan in plans:
                assert indexes(plan) == {"job_due", "job_ready", "job_suspect"}
                steps = [str(node.get("Index Cond")) for node in plan if node.get("Index Name") == "job_ready"]
                # the first lane, the step to the next, and the jobs of one, from its watermark to the first that is not due
                assert len(steps) == 3, steps
                assert len([step for step in steps if step.count("ROW(") == 4]) == 1, steps
                for node in plan:  # the first look in the order of the claim is bounded, and filters nothing
                    if node.get("Index Name") == "job_due":
                        assert "paused" not in str(node.get("Filter"))
                        assert "crashes" not in str(node.get("Filter"))
            plans = plans_of(planned.claims(queues).find_heads, connection, wanted)
            assert_by_index(plans, ("heads", what, statistics), bounded=False)
            assert all(indexes(plan) == {"job_ready"} for plan in plans)


@pytest.mark.parametrize("kept", [True, False], ids=["a plan of the empty table", "a new plan"])
def test_a_claim_walks_over_no_paused_job_however_many_there_are(
    kept: bool, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    """100,000 of them, older than all others; and the claim that pauses nothing walks over them."""
    migrations.migrate(conn, schema)
    conn.execute(f"alter table {schema}.job set (autovacuum_enabled = off)")
    conn.execute(f"analyze {schema}.job")
    prepare_for_loop(connection, Route())
    place = (datetime(2025, 1, 1, tzinfo=UTC), UUID(int=1))
    planned = Planned(schema, measured=True, kept=kept, executions=3)
    claims = planned.claims()
    for watermarks in (None, dict.fromkeys((1, 0), place)):
        wanted = Demand(50, {f"type {n}": 50 for n in range(3)}, 0, False, watermarks, crashed=2, paused=PAUSED)
        plans_of(claims.claim_jobs, connection, 1, 3, wanted)  # prepares it
    conn.execute(PAUSED_FILL.format(schema), {"rows": 101_000, "paused": 100_000})
    for statistics in ("as empty", "freshly analysed"):
        if statistics == "freshly analysed":
            conn.execute(f"vacuum (analyze) {schema}.job")
        for watermarks in (None, dict.fromkeys((1, 0), place)):
            wanted = Demand(50, {f"type {n}": 50 for n in range(3)}, 0, False, watermarks, crashed=2, paused=PAUSED)
            for plan in plans_of(claims.claim_jobs, connection, 1, 3, wanted):
                assert pages_read(plan) <= 2_500, (statistics, watermarks)
                assert rows_read_in_vain(plan) <= 100, (statistics, watermarks)
            heads = plans_of(planned.claims().find_heads, connection, wanted)
            assert all(pages_read(plan) <= 200 for plan in heads)


def test_where_nothing_is_paused_the_claim_is_the_statement_that_it_is_without_pauses(schema: str) -> None:
    sent: list[tuple[str, dict[str, Any]]] = []

    class Sent(Script):
        def rows(self, connection: object, name: str, parameters: dict[str, Any], prepare: bool | None = None) -> Any:
            sent.append((name, parameters))
            return [(None,) * 20 + (0.0, 0.0, None, False, None, False, True)]

    script = Sent(schema, Tuning())
    claims = ClaimStatements(script, None)
    claims.claim_jobs(None, 1, 3, demand(5))  # type: ignore[arg-type]
    ((name, parameters),) = sent
    assert name == "claim_jobs"
    assert "pause" not in script.text(name)
    assert not [one for one in parameters if "pause" in one]


@pytest.mark.parametrize("rows", [1, 50_000])
def test_the_statements_of_schedules_find_their_last_jobs_by_the_primary_key(
    rows: int, filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    uids = filled(rows, "completed")
    prepare_for_call(connection, Route())
    for number in range(1_000):
        conn.execute(
            f"insert into {schema}.schedule (name, stored, version, every, timezone, latest, overlap, jitter, type, payload, "
            "terms, last_tick, last_job) values (%s, true, '', '1 hour', 'UTC', false, 'skip', 0, 't', '{}', '{}', %s, %s)",
            [f"s{number}", CLAIMED_AT, uids[number % len(uids)]],
        )
    job = Insert(7, "{}", Terms("default", "t", 0, 3, "exp", 2.0, 3600.0, 0.0, None, Options(metadata='{"_schedule": "s0"}')))
    seen = [Seen(f"s{number}", "", True, CLAIMED_AT, uids[number % len(uids)], False) for number in range(200)]
    ticks = [Tick(one.name, CLAIMED_AT, one, job._replace(uid_number=number)) for number, one in enumerate(seen)]
    schedules = Planned(schema).schedules
    for statistics in ("as empty", "freshly analysed"):
        if statistics == "freshly analysed":
            conn.execute(f"analyze {schema}.job, {schema}.schedule")
        for plans in (
            plans_of(schedules.find_schedules, connection, None),
            plans_of(schedules.find_schedules, connection, ["s1"]),
            plans_of(schedules.fire_schedules, connection, ticks, False),
            plans_of(schedules.fire_schedules, connection, ticks[:1], False),
        ):
            if rows > 1:
                assert_by_index(plans, statistics, bitmap=True)
                assert {index for plan in plans for index in indexes(plan)} == {"job_pkey"}
        said = Said(None, timedelta(hours=1), "UTC", None, False, "skip", 0.0, "t", "{}", "{}")
        for plans in (
            plans_of(partial(schedules.put_schedule, stored=True, now=None, notify=False), connection, "s1", said, "v"),
            plans_of(partial(schedules.pause_schedule, notify=False), connection, "s1", True),
            plans_of(partial(schedules.remove_schedule, notify=False), connection, "s1"),
            plans_of(schedules.note_run, connection, "s1", uids[0], CLAIMED_AT),
        ):
            assert not [node for plan in plans for node in plan if node.get("Relation Name") in ("job", "attempt")]


@pytest.mark.parametrize("status", ["pending", "running", "failed"])
def test_a_call_for_many_walks_the_primary_key(
    status: str, filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    uids = filled(50_000, status)
    prepare_for_call(connection, Route())
    at = datetime.now(UTC)
    matching = Matching([status], "no such type", None, None, None, None, None, None, None)
    for statistics in ("as empty", "freshly analysed"):
        if statistics == "freshly analysed":
            conn.execute(f"analyze {schema}.job, {schema}.attempt")
        bulk = Planned(schema).bulk
        for span in (
            Span(End(max(uids), at), min(uids), 20_000, 1_000),
            Span(End(max(uids), at), min(uids), 0, 1, uids[:1]),
            Span(End(max(uids), at), min(uids), 20_000, 1_000, dry=True),
        ):
            for plans in (
                plans_of(bulk.cancel_jobs, connection, matching, span, True, None, "Cancelled", True),
                plans_of(bulk.retry_jobs, connection, matching, span, True, None),
                plans_of(bulk.delete_jobs, connection, matching, span, True),
            ):
                assert_by_index(plans, (status, statistics, span.dry, span.uids), bitmap=True)
                used = {index for plan in plans for index in indexes(plan)}
                assert "job_pkey" in used
                assert used <= {"job_pkey", "attempt_pkey", "job_unique", "job_failed"}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_failed_and_cancelled_jobs_are_found_among_any_number_that_succeeded(
    filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str, status: str
) -> None:
    completed = filled(50_000, "completed")
    conn.execute(f"update {schema}.job set status = '{status}', process = null where uid = any(%s)", [completed[::100]])
    conn.execute(f"vacuum analyze {schema}.job")
    prepare_for_call(connection, Route())
    planned = Planned(schema, measured=True)
    ((at,),) = conn.execute("select clock_timestamp()").fetchall()
    matching = Matching([status], *[None] * 8)
    span = Span(End(max(completed), at, sorted(completed)[::100]), UUID(int=0), 20_000, 1_000)
    for plans in (
        plans_of(planned.jobs.list_jobs, connection, Page(status, None, None, 100, None)),
        plans_of(planned.bulk.retry_jobs, connection, matching, span, False, None),
        plans_of(planned.bulk.delete_jobs, connection, matching, span, False),
    ):
        for plan in plans:
            assert "job_failed" in indexes(plan)
            assert rows_read_in_vain(plan) == 0
            assert pages_read(plan) <= 400


FAILED = """
insert into {schema}.job (uid, type, status, attempts, lease_no, created_at, claimed_at, completed_at, error, payload)
select lpad(to_hex(n), 32, '0')::uuid, 'a', case when n % 10 = 0 then 'failed' else 'completed' end, 1, 1,
  '2026-01-01Z'::timestamptz + n * interval '1 s', now(), '2026-01-01Z'::timestamptz + n * interval '1 s',
  case when n % 10 = 0 then 'no route to host ' || n end, '{{}}'
from generate_series(1, {rows}) as n
"""
"""One of ten has failed. All were created and ended in the order of their uids, a second after each other."""


def test_the_newest_jobs_with_an_error_or_in_a_span_are_found_without_reading_or_sorting_the_others(
    connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    rows, began = 100_000, datetime(2026, 1, 1, tzinfo=UTC)
    migrations.migrate(conn, schema)
    conn.execute(f"alter table {schema}.job set (autovacuum_enabled = off)")
    conn.execute(FAILED.format(schema=schema, rows=rows).encode())
    conn.execute(f"vacuum analyze {schema}.job")
    prepare_for_call(connection, Route())
    planned = Planned(schema, measured=True)
    half, all_but_some = began + timedelta(seconds=rows / 2), began + timedelta(seconds=rows - 5_000)
    any_page = Page(None, None, None, 100, None)
    for what, plans in {
        "error": plans_of(planned.jobs.list_jobs, connection, any_page._replace(status="failed", error="route")),
        "created after": plans_of(planned.jobs.list_jobs, connection, any_page._replace(created_after=half)),
        "created before": plans_of(planned.jobs.list_jobs, connection, any_page._replace(created_before=all_but_some)),
        "ended after": plans_of(planned.jobs.list_jobs, connection, any_page._replace(ended_after=half)),
        "ended before": plans_of(planned.jobs.list_jobs, connection, any_page._replace(ended_before=all_but_some)),
        "failures": plans_of(planned.stats.list_failures, connection, None, None, None, None, 100),
        "failures since": plans_of(planned.stats.list_failures, connection, half, "a", None, None, 100),
    }.items():
        for plan in plans:
            by_failure = what == "error" or what.startswith("failures")
            assert indexes(plan) == {"job_failed" if by_failure else "job_pkey"}, what
            assert not [node for node in plan if node["Node Type"] in ("Seq Scan", "Sort")], what
            assert rows_read_in_vain(plan) <= (0 if by_failure else 5_100), what


def test_a_page_far_down_reads_few_rows_whatever_was_listed_before(
    filled: Fill, connection: psycopg.Connection, conn: psycopg.Connection, schema: str
) -> None:
    newest = filled(50_000, "completed")[0]
    conn.execute(f"analyze {schema}.job")
    prepare_for_call(connection, Route())
    jobs = Planned(schema, measured=True, kept=True).jobs
    plans_of(jobs.list_jobs, connection, Page(None, "no such type", None, 100, newest))
    for plan in plans_of(jobs.list_jobs, connection, Page(None, None, None, 100, UUID(int=newest.int - 16_000))):
        assert pages_read(plan) <= 30
        assert rows_read_in_vain(plan) == 0


def test_a_manager_at_work_never_reads_the_whole_table(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    def counted(what: str) -> int:
        query = f"select coalesce(sum({what}), 0)::integer from pg_stat_user_tables where schemaname = %s and relname = 'job'"
        return conn.execute(query, [schema]).fetchone()[0]

    conn.execute(f"alter table {schema}.job set (autovacuum_enabled = off)")
    conn.execute(f"analyze {schema}.job")
    manager.stop()  # what a session did is counted when it has ended
    before = until(lambda: counted("seq_scan"))  # to build the indexes
    told: list[object] = []
    manager.set_handler("a", lambda job: 1 // job.payload["n"])
    manager.on_done("a", lambda job: told.append(job.status))
    manager.create_many([("a", {"n": n % 50}) for n in range(2_000)], max_attempts=2, backoff_strategy="none")
    manager.start(workers=4)
    until(lambda: len(told) == 2_000, timeout=30)
    manager.stop()

    until(lambda: counted("n_tup_upd") >= 2 * (2_000 + 40))  # claimed and settled, the 40 that fail twice
    assert counted("seq_scan") == before
    index = "select idx_scan from pg_stat_user_indexes where schemaname = %s and indexrelname = 'job_claimed'"
    assert conn.execute(index, [schema]).fetchall() == [(1,)], "once, at the end: whether this process holds anything"


# -- dead rows ------------------------------------------------------------------------------------------------------------


def test_a_standby_that_holds_back_the_removal_of_dead_rows_is_named(
    conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    """One with hot_standby_feedback. Here the test plays the standby, in the protocol of replication."""
    if conn.execute("show wal_level").fetchone() == ("minimal",) or conn.execute("show max_wal_senders").fetchone() == ("0",):
        pytest.skip("this server has no standby")
    sender = pq.PGconn.connect(make_conninfo(database_url, replication="true", application_name=f"{schema} standby").encode())
    try:
        if sender.status != pq.ConnStatus.OK:
            pytest.skip(f"no standby may connect: {sender.error_message.decode()}")
        (position,) = conn.execute("select pg_current_wal_lsn()").fetchone()
        assert sender.exec_(f"START_REPLICATION {position}".encode()).status == pq.ExecStatus.COPY_BOTH
        (xmin,) = conn.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone()
        sender.put_copy_data(struct.pack("!cqIIII", b"h", 0, xmin % 2**32, xmin >> 32, 0, 0))
        sender.flush()
        claims = statements_for(Settings(schema=schema)).claims
        until(lambda: (f"standby {schema} standby", None) in claims.find_horizon(conn))
    finally:
        sender.finish()
