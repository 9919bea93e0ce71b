"""Jobs that the tables show as running in a process that does not run them: somebody has truncated, restored or edited tables
under a working manager. They are freed and run again, what really runs is left alone, and no process takes another's id.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import Job, JobManager, Status
from tests.conftest import until

PERIODS = {"lease": 1.0, "heartbeat": 0.2, "poll_interval": 0.1}

NOT_RUN = "held the job by the tables and did not run it"
"""What the log of attempts says of a job that was freed."""


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.liveness.reconcile.AGAIN_SECONDS", 0.5)


class Gates:
    """A handler: runs of the type "waits" wait until they are let go."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.open = threading.Event()

    def __call__(self, job: Job) -> dict[str, Any]:
        self.begun.append((job.id, job.attempts))
        if job.type == "waits":
            self.open.wait(60)
        return job.payload


@pytest.fixture
def gates(make_manager: Callable[..., JobManager]) -> Iterator[Gates]:
    gates = Gates()
    yield gates
    gates.open.set()


@pytest.fixture
def shop(make_manager: Callable[..., JobManager], gates: Gates) -> JobManager:
    """Started, with two workers and a short lease."""
    manager = make_manager(handler=gates, **PERIODS)
    manager.start(workers=2)
    return manager


Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def run(conn: psycopg.Connection, schema: str) -> Run:
    """`run(statement, *parameters)`: by hand, in the schema of the tables; the rows."""

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
"""A job in the hands of every process there is, who know nothing of it."""


def end(manager: JobManager, job: object) -> Job:
    """As it is when it is completed."""
    found: list[Job] = []

    def is_completed() -> bool:
        found[:] = [one for one in [manager.find(job)] if one is not None]
        return bool(found) and found[0].status is Status.COMPLETED

    until(is_completed, timeout=30)
    return found[0]


def begin_waiting(manager: JobManager, gates: Gates) -> Job:
    job = manager.create("waits", {"n": 1})
    until(lambda: (job.id, 1) in gates.begun)
    return job


def assert_freed_and_run_again(manager: JobManager, job: Job | object) -> None:
    """It ran once more, the loss counts as a crash, and the log says why."""
    found = end(manager, job)
    assert (found.attempts, found.crashes) == (2, 1)
    first, second = manager.history(found)
    assert (first.number, first.status, second.number, second.status) == (1, "crashed", 2, "success")
    assert NOT_RUN in str(first.error_message)
    assert manager.health().ok


# -- freed --------------------------------------------------------------------------------------------------------------


def test_after_a_truncate_that_gives_ids_out_again_new_jobs_complete_whatever_is_left_in_the_log(
    shop: JobManager, run: Run
) -> None:
    for job in shop.create_many([("a", {"n": n}) for n in range(20)]):
        end(shop, job)
    before = run("select job_id, lease_no from attempt order by job_id")
    run("truncate job restart identity")
    jobs = shop.create_many([("a", {"n": n}) for n in range(20)])
    assert {(job.id, 1) for job in jobs} == set(before)  # what they will write in the log stands there already
    for job in jobs:
        found = end(shop, job)
        assert (found.result, found.attempts, found.crashes) == (job.payload, 1, 0)
        assert [attempt.status for attempt in shop.history(job)] == ["success"]
    assert shop.health().ok


class Doors:
    """A handler: each run waits at a door of its own, that of its payload's name, and returns the name."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._doors = {name: threading.Event() for name in ("old", "new", "third")}

    def __call__(self, job: Job) -> str:
        name: str = job.payload["name"]
        self.begun.append(name)
        self._doors[name].wait(60)
        return name

    def open(self, *names: str) -> None:
        for name in names:
            self._doors[name].set()


@pytest.fixture
def doors(make_manager: Callable[..., JobManager]) -> Iterator[Doors]:
    doors = Doors()
    yield doors
    doors.open("old", "new", "third")


def begin_old_and_new(manager: JobManager, doors: Doors, run: Run) -> tuple[Job, Job]:
    """Two runs of jobs that have the same id and the same lease_no: a truncate came in between."""
    old = manager.create("a", {"name": "old"})
    until(lambda: doors.begun == ["old"])
    run("truncate job restart identity")
    new = manager.create("a", {"name": "new"})
    until(lambda: doors.begun == ["old", "new"])
    assert new.id == old.id
    return old, new


def test_a_run_that_outlives_a_truncate_does_not_have_the_new_job_of_its_id_taken_for_lost(
    make_manager: Callable[..., JobManager], doors: Doors, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(handler=doors, **PERIODS)
    manager.start(workers=3)
    old, new = begin_old_and_new(manager, doors, run)
    doors.open("old", "third")
    until(lambda: any("its outcome" in record.getMessage() for record in caplog.records))  # it is dropped
    ((uid,),) = run(INSERT_RUNNING.replace("(type,", "(payload, type,").replace("select", """select '{"name": "third"}',"""))
    end(manager, uid)  # what really is lost was found: the process has looked
    assert doors.begun.count("new") == 1
    doors.open("new")
    found = end(manager, new)
    assert (found.result, found.attempts, found.crashes) == ("new", 1, 0)
    assert manager.find(old) is None
    assert doors.begun == ["old", "new", "third"]
    assert manager.health().restarted_threads == 0


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")], ids=["old first", "new first"])
def test_a_run_that_outlives_a_truncate_writes_nothing_over_the_new_job_of_its_id_in_one_statement(
    make_manager: Callable[..., JobManager], doors: Doors, run: Run, database_url: str, schema: str, order: tuple[str, str]
) -> None:
    manager = make_manager(handler=doors, **PERIODS)
    told: list[tuple[str, object]] = []
    manager.on_done(None, lambda job: told.append((job.payload["name"], job.result)))
    manager.start(workers=3)
    _, new = begin_old_and_new(manager, doors, run)
    third = manager.create("a", {"name": "third"})
    until(lambda: len(doors.begun) == 3)
    waiting = manager._engines[0]._settler.waiting
    with psycopg.connect(database_url) as other:
        other.execute(sql.SQL("select from {}.job where id = %s for update").format(sql.Identifier(schema)), [third.id])
        doors.open("third")  # its outcome waits for that lock, so that the next two come to lie together
        until(
            lambda: run("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'verdict'") != [(0,)]
        )
        for count, name in enumerate(order, start=2):
            doors.open(name)
            until(lambda count=count: waiting() == count)
    found = end(manager, new)
    assert (found.result, found.attempts, found.crashes) == ("new", 1, 0)
    assert end(manager, third).result == "third"
    assert manager.health().restarted_threads == 0
    assert manager.stop(timeout=20).complete
    assert sorted(told) == [("new", "new"), ("third", "third")]


@pytest.mark.parametrize("log", ["with its log", "without its log"])
def test_a_row_that_is_put_back_as_it_was_while_it_ran_runs_again(shop: JobManager, gates: Gates, run: Run, log: str) -> None:
    job = begin_waiting(shop, gates)
    run("create table aside as select * from job")
    gates.open.set()
    end(shop, job)
    run("delete from job")
    if log == "without its log":
        run("delete from attempt")
    run("insert into job overriding system value select * from aside")
    assert shop.find(job).status is Status.RUNNING  # type: ignore[union-attr]
    if log == "without its log":
        assert_freed_and_run_again(shop, job)
    else:
        found = end(shop, job)
        assert (found.attempts, found.crashes) == (2, 1)
        # The line of the attempt is there already, and stays as it is.
        assert [(attempt.number, attempt.status) for attempt in shop.history(job)] == [(1, "success"), (2, "success")]
    assert gates.begun == [(job.id, 1), (job.id, 2)]


@pytest.mark.parametrize(
    "change", ["lease_no = lease_no + 1", "claimed_at = null", "lease_no = lease_no + 1, claimed_at = null"]
)
def test_a_row_that_is_edited_while_it_runs_runs_again(shop: JobManager, gates: Gates, run: Run, change: str) -> None:
    told: list[int] = []
    shop.on_done(None, lambda job: told.append(job.attempts))
    job = begin_waiting(shop, gates)
    run(f"update job set {change}")
    gates.open.set()
    assert_freed_and_run_again(shop, job)
    until(lambda: told)
    assert shop.stop(timeout=20).complete
    assert told == [2]  # of the first run, whose job was lost, nobody hears


def test_a_row_in_the_log_under_the_lease_of_a_running_job_does_not_keep_its_outcome_from_it(
    shop: JobManager, gates: Gates, run: Run
) -> None:
    job = begin_waiting(shop, gates)
    run("insert into attempt select id, lease_no, 7, 'by hand', now(), now(), 'error', 'by hand' from job")
    gates.open.set()
    found = end(shop, job)
    assert (found.attempts, found.crashes, found.result) == (1, 0, {"n": 1})
    assert [(attempt.number, attempt.status) for attempt in shop.history(job)] == [(1, "success")]
    assert gates.begun == [(job.id, 1)]
    assert shop.health().ok


def test_a_running_row_that_is_inserted_by_hand_runs(shop: JobManager, run: Run) -> None:
    ((uid,),) = run(INSERT_RUNNING)
    assert_freed_and_run_again(shop, uid)


def test_a_job_that_is_freed_for_the_last_time_fails_and_the_listeners_hear_it(
    make_manager: Callable[..., JobManager], gates: Gates, run: Run
) -> None:
    manager = make_manager(handler=gates, max_crashes=1, **PERIODS)
    told: list[Job] = []
    manager.on_failure(None, told.append)
    manager.start()
    ((uid,),) = run(INSERT_RUNNING)
    until(lambda: told, timeout=30)
    assert [(job.uid, job.status, job.crashes) for job in told] == [(uid, "failed", 1)]
    assert NOT_RUN in str(told[0].error)
    assert gates.begun == []


# -- left alone ---------------------------------------------------------------------------------------------------------


def test_what_runs_is_left_alone_while_what_does_not_is_freed_beside_it_lease_after_lease(
    shop: JobManager, gates: Gates, run: Run
) -> None:
    job = begin_waiting(shop, gates)
    for _ in range(3):
        ((uid,),) = run(INSERT_RUNNING)
        assert_freed_and_run_again(shop, uid)
        assert [shop.find(job).crashes, shop.find(job).status] == [0, "running"]  # type: ignore[union-attr]
    gates.open.set()
    found = end(shop, job)
    assert (found.attempts, found.crashes) == (1, 0)
    assert [attempt.status for attempt in shop.history(job)] == ["success"]
    assert gates.begun.count((job.id, 1)) == 1


def test_jobs_that_stream_through_are_not_taken_for_lost_while_one_that_is_lost_is_found(
    make_manager: Callable[..., JobManager], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are claimed, begun and settled while the process compares what it knows with the tables."""
    monkeypatch.setattr("steve._engine.liveness.reconcile.AGAIN_SECONDS", 1.0)
    manager = make_manager(handler=lambda job: None, **PERIODS)
    manager.start(workers=4)
    ((uid,),) = run(INSERT_RUNNING)
    created = 0

    def is_freed() -> bool:
        nonlocal created
        if run("select count(*) < 200 from job where status = 'pending'") == [(True,)]:
            created += len(manager.create_many([("a", None)] * 200))
        return manager.find(uid).status is Status.COMPLETED  # type: ignore[union-attr]

    until(is_freed, timeout=30)
    until(lambda: run("select count(*) from job where status <> 'completed'") == [(0,)], timeout=30)
    assert created > 200
    assert run("select count(*), sum(attempts), sum(crashes) from job") == [(created + 1, created + 2, 1)]


# -- processes ----------------------------------------------------------------------------------------------------------


def test_a_process_that_stops_with_a_job_that_it_holds_by_the_tables_keeps_its_row_and_others_rescue_that(
    shop: JobManager, make_manager: Callable[..., JobManager], gates: Gates, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SETTLED_IN": 0.5, "LET_IN": 0.0, "SUSPICION": 0.5}.items():
        monkeypatch.setattr(f"steve._engine.liveness.rescue.{name}", value)
    monkeypatch.setattr("steve._engine.liveness.heartbeat.LOOK_SECONDS", 0.2)
    ((process,),) = run("select id from process")
    ((uid,),) = run(INSERT_RUNNING)
    assert shop.stop(timeout=20).complete
    assert run("select id from process") == [(process,)]
    other = make_manager(handler=gates, **PERIODS)
    other.start()
    found = end(other, uid)
    assert (found.attempts, found.crashes) == (2, 1)
    assert [attempt.status for attempt in other.history(uid)] == ["crashed", "success"]
    until(lambda: run("select id from process where id = %s", process) == [])


def test_a_process_that_stops_with_nothing_in_its_hands_leaves_no_row(shop: JobManager, run: Run) -> None:
    end(shop, shop.create("a"))
    assert shop.stop(timeout=20).complete
    assert run("select * from process") == []


def test_no_process_ever_gets_the_id_of_another(make_manager: Callable[..., JobManager], run: Run) -> None:
    """Where ids were counted, a truncate or a restore would give them out again, and one process another's jobs."""
    seen: list[int] = []

    def start() -> JobManager:
        manager = make_manager(handler=lambda job: None, **PERIODS)
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
    until(lambda: len(run("select id from process")) == 3)  # the living have written their rows anew, under their ids
    assert {id for (id,) in run("select id from process")} == set(seen[2:])
    assert len(seen) == len(set(seen)) == 5
