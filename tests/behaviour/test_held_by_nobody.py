"""Jobs that a process holds by the tables and does not run, because somebody has truncated, restored or edited the tables under
a working manager. They are freed and run again; a job that really runs is left alone; and no process gets the id of another.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from steve import Job, JobManager, Status
from steve._model.tuning import Tuning
from tests.conftest import until

QUICK: dict[str, Any] = {"lease": 1.0, "heartbeat": 0.2, "poll_interval": 0.1, "_tuning": Tuning(reconcile_pause=0.5)}
"""A process looks for such jobs once a lease."""

NOT_RUN = "held the job by the tables and did not run it"
"""What the history of a job that was freed says."""


class Gate:
    """A handler. Jobs of the type "waits" wait in it until it is open. Those of the type "retries" raise at their first
    attempt and wait at the second."""

    def __init__(self) -> None:
        self.begun: list[tuple[UUID, int]] = []
        self.open = threading.Event()

    def __call__(self, job: Job) -> dict[str, Any]:
        self.begun.append((job.uid, job.attempts))
        if job.type == "retries" and job.attempts == 1:
            raise RuntimeError("at the first attempt")
        if job.type in ("waits", "retries"):
            self.open.wait(100)
        return job.payload


@pytest.fixture
def gate(make_manager: Callable[..., JobManager]) -> Iterator[Gate]:
    """Open when the test ends, also when it fails."""
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def shop(make_manager: Callable[..., JobManager], gate: Gate) -> JobManager:
    """Started, with two workers and a short lease."""
    manager = make_manager(handler=gate, **QUICK)
    manager.start(workers=2)
    return manager


Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def run(conn: psycopg.Connection, schema: str) -> Run:
    """`run(statement, *parameters)` sends a statement in the schema of the tables, and returns its rows."""

    def run(statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        conn.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))
        cursor = conn.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    return run


INSERT_RUNNING = """
insert into job (type, status, process_id, attempts, lease_no, claimed_at)
select 'a', 'running', id, 1, 1, now() from process
returning uid
"""
"""For each process a job that it holds by the tables and does not know of."""


def completed(manager: JobManager, job: object) -> Job:
    """The job when it is completed."""
    found: list[Job] = []

    def is_completed() -> bool:
        found[:] = [one for one in [manager.find(job)] if one is not None]
        return bool(found) and found[0].status is Status.COMPLETED

    until(is_completed, timeout=60)
    return found[0]


def begin_waiting(manager: JobManager, gate: Gate, type: str = "waits") -> Job:
    """A job of that type that waits, at its first attempt or, if it "retries", at its second."""
    job = manager.create(type, {"n": 1}, backoff_strategy="none")
    until(lambda: (job.uid, 2 if type == "retries" else 1) in gate.begun)
    return job


def assert_freed_and_run_again(manager: JobManager, job: Job | object) -> None:
    """The job ran once more, its loss counts as a crash, and the history says why."""
    found = completed(manager, job)
    assert (found.attempts, found.crashes) == (2, 1)
    first, second = manager.history(found)
    assert (first.number, first.status, second.number, second.status) == (1, "crashed", 2, "success")
    assert NOT_RUN in str(first.error_message)
    until(lambda: manager.health().ok)


# -- freed --------------------------------------------------------------------------------------------------------------


def test_new_jobs_complete_after_a_truncate_that_leaves_the_log(shop: JobManager, gate: Gate, run: Run) -> None:
    gate.open.set()
    for job in shop.create_many([("retries", {"n": n}) for n in range(20)], backoff_strategy="none"):
        completed(shop, job)
    run("truncate job")
    for job in shop.create_many([("retries", {"n": n}) for n in range(20)], backoff_strategy="none"):
        found = completed(shop, job)
        assert (found.result, found.attempts, found.crashes) == (job.payload, 2, 0)
        assert [attempt.status for attempt in shop.history(job)] == ["error", "success"]
    until(lambda: shop.health().ok)


class Gates:
    """A handler. Each job waits at a gate of its own, which has the name in its payload, and returns the name."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._gates = {name: threading.Event() for name in ("old", "new", "third")}

    def __call__(self, job: Job) -> str:
        name: str = job.payload["name"]
        self.begun.append(name)
        self._gates[name].wait(100)
        return name

    def open(self, *names: str) -> None:
        for name in names:
            self._gates[name].set()


@pytest.fixture
def gates(make_manager: Callable[..., JobManager]) -> Iterator[Gates]:
    """All open when the test ends, also when it fails."""
    gates = Gates()
    yield gates
    gates.open("old", "new", "third")


def begin_old_and_new(manager: JobManager, gates: Gates, run: Run) -> Job:
    """Begin a job twice under the same lease_no: in between the tables forget the first claim, as after a failover."""
    old = manager.create("a", {"name": "old"})
    until(lambda: gates.begun == ["old"])
    forget = "status = 'pending', process_id = null, claimed_at = null, attempts = 0, lease_no = 0"
    run(f"update job set {forget}, payload = %s", '{"name": "new"}')
    until(lambda: gates.begun == ["old", "new"])
    return old


def test_a_run_that_the_tables_have_forgotten_does_not_make_the_next_one_of_its_lease_lost(
    make_manager: Callable[..., JobManager], gates: Gates, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(handler=gates, **QUICK)
    manager.start(workers=3)
    new = begin_old_and_new(manager, gates, run)
    gates.open("old", "third")
    until(lambda: any("its outcome" in record.getMessage() for record in caplog.records))  # it is dropped
    ((uid,),) = run(INSERT_RUNNING.replace("(type,", "(payload, type,").replace("select", """select '{"name": "third"}',"""))
    completed(manager, uid)  # the process has looked: it found the job that really is lost
    assert gates.begun.count("new") == 1
    gates.open("new")
    found = completed(manager, new)
    assert (found.result, found.attempts, found.crashes) == ("new", 1, 0)
    assert gates.begun == ["old", "new", "third"]
    assert manager.health().restarted_threads == 0


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")], ids=["old first", "new first"])
def test_a_run_that_the_tables_have_forgotten_writes_nothing_over_the_next_one_of_its_lease(
    make_manager: Callable[..., JobManager],
    gates: Gates,
    run: Run,
    database_url: str,
    schema: str,
    caplog: pytest.LogCaptureFixture,
    order: tuple[str, str],
) -> None:
    """The outcomes of both are settled in one statement."""
    caplog.set_level(logging.INFO, "steve")  # each job's line is logged when its outcome waits to be settled
    manager = make_manager(handler=gates, **QUICK)
    told: list[tuple[str, object]] = []
    manager.on_done(None, lambda job: told.append((job.payload["name"], job.result)))
    manager.start(workers=3)
    new = begin_old_and_new(manager, gates, run)
    third = manager.create("a", {"name": "third"})
    until(lambda: len(gates.begun) == 3)
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'verdict'"
    with psycopg.connect(database_url) as other:
        other.execute(sql.SQL("select from {}.job where uid = %s for update").format(sql.Identifier(schema)), [third.uid])
        gates.open("third")  # its settlement waits for that lock, so that the next two outcomes are settled together after it
        until(lambda: run(waiting) != [(0,)])
        for number, name in enumerate(order, 1):
            gates.open(name)
            until(lambda number=number: sum(getattr(one, "job_uid", "") == str(new.uid) for one in caplog.records) == number)
    found = completed(manager, new)
    assert (found.result, found.attempts, found.crashes) == ("new", 1, 0)
    assert completed(manager, third).result == "third"
    assert manager.health().restarted_threads == 0
    assert manager.stop(timeout=60).complete
    assert sorted(told) == [("new", "new"), ("third", "third")]


def test_a_row_that_is_put_back_as_it_was_while_it_ran_runs_again(shop: JobManager, gate: Gate, run: Run) -> None:
    job = begin_waiting(shop, gate)
    put_back(shop, gate, run, job)
    assert_freed_and_run_again(shop, job)
    assert gate.begun == [(job.uid, 1), (job.uid, 2)]


def test_a_row_that_is_put_back_while_the_log_has_its_attempt_runs_again(shop: JobManager, gate: Gate, run: Run) -> None:
    job = begin_waiting(shop, gate, "retries")
    put_back(shop, gate, run, job)
    found = completed(shop, job)
    assert (found.attempts, found.crashes) == (3, 1)
    # The row of the second attempt is there already, and stays as it is.
    assert [(attempt.number, attempt.status) for attempt in shop.history(job)] == [(1, "error"), (2, "success"), (3, "success")]
    assert gate.begun == [(job.uid, 1), (job.uid, 2), (job.uid, 3)]


def put_back(manager: JobManager, gate: Gate, run: Run, job: Job) -> None:
    """Let the job complete, and put its row back as it was before."""
    run("create table aside as select * from job")
    gate.open.set()
    completed(manager, job)
    run("delete from job")
    run("insert into job select * from aside")
    assert manager.find(job).status is Status.RUNNING  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change", ["lease_no = lease_no + 1", "claimed_at = null", "lease_no = lease_no + 1, claimed_at = null"]
)
def test_a_row_that_is_edited_while_it_runs_runs_again(shop: JobManager, gate: Gate, run: Run, change: str) -> None:
    told: list[int] = []
    shop.on_done(None, lambda job: told.append(job.attempts))
    job = begin_waiting(shop, gate)
    run(f"update job set {change}")
    gate.open.set()
    assert_freed_and_run_again(shop, job)
    until(lambda: told)
    assert shop.stop(timeout=60).complete
    assert told == [2]  # no listener hears of the first run, which had lost its job


@pytest.mark.parametrize(("type", "attempts"), [("waits", ["success"]), ("retries", ["error", "success"])])
def test_an_attempt_with_the_lease_of_a_running_job_does_not_block_its_outcome(
    shop: JobManager, gate: Gate, run: Run, type: str, attempts: list[str]
) -> None:
    job = begin_waiting(shop, gate, type)
    run("insert into attempt select uid, lease_no, 7, 'by hand', now(), now(), 'error', 'by hand' from job")
    gate.open.set()
    found = completed(shop, job)
    assert (found.attempts, found.crashes, found.result) == (len(attempts), 0, {"n": 1})
    assert [(attempt.number, attempt.status) for attempt in shop.history(job)] == list(enumerate(attempts, 1))
    assert gate.begun == [(job.uid, number) for number, _ in enumerate(attempts, 1)]
    until(lambda: shop.health().ok)


def test_a_running_row_that_is_inserted_by_hand_runs(shop: JobManager, run: Run) -> None:
    ((uid,),) = run(INSERT_RUNNING)
    assert_freed_and_run_again(shop, uid)


def test_a_job_that_is_freed_for_the_last_time_fails_and_the_listeners_hear_of_it(
    make_manager: Callable[..., JobManager], gate: Gate, run: Run
) -> None:
    manager = make_manager(handler=gate, max_crashes=1, **QUICK)
    told: list[Job] = []
    manager.on_failure(None, told.append)
    manager.start()
    ((uid,),) = run(INSERT_RUNNING)
    until(lambda: told, timeout=60)
    assert [(job.uid, job.status, job.crashes) for job in told] == [(uid, "failed", 1)]
    assert NOT_RUN in str(told[0].error)
    assert gate.begun == []


# -- left alone ---------------------------------------------------------------------------------------------------------


def test_a_running_job_is_left_alone_while_lost_ones_beside_it_are_freed(shop: JobManager, gate: Gate, run: Run) -> None:
    job = begin_waiting(shop, gate)
    for _ in range(3):
        ((uid,),) = run(INSERT_RUNNING)
        assert_freed_and_run_again(shop, uid)
        assert [shop.find(job).crashes, shop.find(job).status] == [0, "running"]  # type: ignore[union-attr]
    gate.open.set()
    found = completed(shop, job)
    assert (found.attempts, found.crashes) == (1, 0)
    assert [attempt.status for attempt in shop.history(job)] == ["success"]
    assert gate.begun.count((job.uid, 1)) == 1


def test_jobs_that_stream_through_are_left_alone_while_a_lost_one_is_found(
    make_manager: Callable[..., JobManager], run: Run
) -> None:
    """They are claimed, begun and settled while the process compares what it knows with the tables."""
    manager = make_manager(handler=lambda job: None, **QUICK | {"_tuning": Tuning(reconcile_pause=1.0)})
    manager.start(workers=4)
    ((uid,),) = run(INSERT_RUNNING)
    created = 0

    def is_freed() -> bool:
        nonlocal created
        if run("select count(*) < 200 from job where status = 'pending'") == [(True,)]:
            created += len(manager.create_many([("a", None)] * 200))
        return manager.find(uid).status is Status.COMPLETED  # type: ignore[union-attr]

    until(is_freed, timeout=60)
    until(lambda: run("select count(*) from job where status <> 'completed'") == [(0,)], timeout=60)
    assert created > 200
    assert run("select count(*), sum(attempts), sum(crashes) from job") == [(created + 1, created + 2, 1)]


# -- processes ----------------------------------------------------------------------------------------------------------


def test_a_process_that_stops_while_it_holds_a_job_keeps_its_row_for_a_rescue(
    shop: JobManager, make_manager: Callable[..., JobManager], gate: Gate, run: Run
) -> None:
    """By the tables it holds the job; it does not run it."""
    ((process,),) = run("select id from process")
    ((uid,),) = run(INSERT_RUNNING)
    assert shop.stop(timeout=60).complete
    assert run("select id from process") == [(process,)]
    tuning = Tuning(observer_age=0.5, server_age=0.0, suspicion=0.5, look_interval=0.2)
    other = make_manager(handler=gate, **QUICK | {"_tuning": tuning})
    other.start()
    found = completed(other, uid)
    assert (found.attempts, found.crashes) == (2, 1)
    assert [attempt.status for attempt in other.history(uid)] == ["crashed", "success"]
    until(lambda: run("select id from process where id = %s", process) == [])


def test_a_process_that_stops_and_holds_no_job_deletes_its_row(shop: JobManager, run: Run) -> None:
    completed(shop, shop.create("a"))
    assert shop.stop(timeout=60).complete
    assert run("select * from process") == []


def test_no_process_ever_gets_the_id_of_another(make_manager: Callable[..., JobManager], run: Run) -> None:
    """If a sequence made the ids, a truncate or a restore would give them out again, and a process would get another's jobs."""
    seen: list[int] = []

    def start() -> JobManager:
        manager = make_manager(handler=lambda job: None, **QUICK)
        manager.start()
        ((id,),) = run("select id from process where id <> all(%s)", seen)
        seen.append(id)
        return manager

    first = start()
    start().stop()
    first.stop()
    first.start()
    ((again,),) = run("select id from process")
    seen.append(again)
    start()
    run("truncate process restart identity")
    start()
    until(lambda: len(run("select id from process")) == 3)  # those that live have written their rows again, under the same ids
    assert {id for (id,) in run("select id from process")} == set(seen[2:])
    assert len(seen) == len(set(seen)) == 5
