"""`pause()`, `resume()` and `paused()`: what begins, what goes on, and what comes back.

`hears` is a manager that only notifications can tell of a pause within a test, and `looks` one that only its looks can tell.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from steve import Job, JobManager, Pause, Status
from steve._database.statements import statements_for
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from tests.conftest import APPLICATION, until

MakeManager = Callable[..., JobManager]

FAST = Tuning(look_interval=0.05)
RARE = Tuning(look_interval=600.0)


@pytest.fixture
def ran() -> list[tuple[str, str]]:
    """The queue and type of each job that has begun."""
    return []


@pytest.fixture
def hears(make_manager: MakeManager, ran: list[Any]) -> JobManager:
    """Not started."""
    manager = make_manager(
        handler=lambda job: ran.append((job.queue, job.type)), heartbeat=600.0, lease=3600.0, poll_interval=60.0, _tuning=RARE
    )
    manager.migrate()
    return manager


@pytest.fixture
def looks(make_manager: MakeManager, ran: list[Any]) -> JobManager:
    """Not started."""
    manager = make_manager(
        handler=lambda job: ran.append((job.queue, job.type)), notify=False, poll_interval=0.05, _tuning=FAST
    )
    manager.migrate()
    return manager


def knows(manager: JobManager, count: int) -> bool:
    """Whether the engine of this manager knows of so many pauses."""
    engine = manager._runner.engine()
    return engine is not None and len(engine.pauses.now()) == count


def in_force(manager: JobManager, count: int = 1) -> None:
    until(lambda: knows(manager, count))


SOME: dict[str, tuple[dict[str, str], list[tuple[str, str]]]] = {
    # what is paused, and the queues and types that go on
    "a queue": ({"queue": "q"}, [("default", "a"), ("default", "b")]),
    "a type": ({"type": "b"}, [("default", "a"), ("q", "a")]),
    "a type in a queue": ({"queue": "q", "type": "b"}, [("default", "a"), ("default", "b"), ("q", "a")]),
    "all": ({}, []),
    "another queue": ({"queue": "elsewhere"}, [("default", "a"), ("default", "b"), ("q", "a"), ("q", "b")]),
}
LANES = [("default", "a"), ("default", "b"), ("q", "a"), ("q", "b")]


@pytest.mark.parametrize("by", ["hears", "looks"])
@pytest.mark.parametrize(("paused", "go_on"), SOME.values(), ids=SOME)
def test_what_is_paused_does_not_begin_and_the_rest_goes_on(
    paused: dict[str, str], go_on: list[Any], by: str, request: pytest.FixtureRequest, ran: list[Any]
) -> None:
    manager: JobManager = request.getfixturevalue(by)
    manager.start(2)
    manager.pause(**paused)
    in_force(manager)
    jobs = [manager.create(type, queue=queue, priority=priority) for queue, type in LANES for priority in (-1, 3)]
    until(lambda: len(ran) == 2 * len(go_on))
    assert sorted(set(ran)) == go_on
    assert manager.resume(**paused)
    until(lambda: len(ran) == len(jobs))
    assert sorted(ran) == sorted(LANES * 2)
    assert manager.resume(**paused) is None


def test_a_pause_is_there_before_a_process_starts_and_outlives_the_one_that_made_it(
    hears: JobManager, make_manager: MakeManager, ran: list[Any]
) -> None:
    other = make_manager()
    other.pause("q", reason="why")
    other.stop()
    hears.create("a", queue="q")
    last = hears.create("a")
    hears.start()
    until(lambda: hears.find(last).status is Status.COMPLETED)  # type: ignore[union-attr]
    assert ran == [("default", "a")]
    assert [pause.queue for pause in hears.paused()] == ["q"]


def test_running_jobs_go_on_and_those_in_the_buffer_go_back_without_an_attempt(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    """One worker with a long job has claimed others ahead, of which it will begin only those that are not paused."""
    gate, began = threading.Event(), threading.Event()
    ran: list[str] = []

    def handler(job: Job) -> None:
        ran.append(job.type)
        if job.type == "waits":
            began.set()
            assert gate.wait(60)

    manager = make_manager(handler=handler, _tuning=Tuning(claim_ahead=3600.0, buffer_age=600.0))
    manager.migrate()
    try:
        for type in ("waits", "a", "b"):  # their durations become known, so that claims look ahead
            manager.create(type)
        gate.set()
        manager.start(1)
        until(lambda: len(manager.fetch_all("completed")) == 3)
        gate.clear(), began.clear()
        manager.create_many([("waits", None), *[("a", None), ("b", None)] * 5])
        assert began.wait(60)
        until(lambda: len(manager.fetch_all("running")) == 11)
        manager.pause(type="a")
        until(lambda: len(manager.fetch_all("pending", type="a")) == 5)
        for job in manager.fetch_all("pending", type="a"):
            assert job.attempts == 0
            assert manager.history(job) == []
        assert len(manager.fetch_all("running")) == 6, "the one that runs, and the others in the buffer"
        gate.set()
        until(lambda: len(manager.fetch_all("completed")) == 9)
        assert ran == ["waits", "a", "b", "waits", *["b"] * 5]
        manager.resume(type="a")
        until(lambda: len(manager.fetch_all("completed")) == 14)
        assert {job.attempts for job in manager.fetch_all("completed")} == {1}
    finally:
        gate.set()


def test_a_worker_that_holds_a_job_does_not_begin_it_once_it_is_paused(make_manager: MakeManager, ran: list[Any]) -> None:
    """The claim's answer comes after the pause is known: no claim under way can bring a job past it."""
    manager = make_manager(handler=lambda job: ran.append(job.type), poll_interval=0.05, _tuning=RARE)
    manager.migrate()
    manager.start(1)
    engine = manager._runner.engine()
    assert engine is not None
    database = engine.all_pools.all[0].parts.claimer._database
    claim = database.claim
    asked, answer = threading.Event(), threading.Event()

    def held(demand: Any) -> Any:
        reply = claim(demand)
        if reply.jobs:
            asked.set()
            assert answer.wait(60)
        return reply

    database.claim = held  # type: ignore[method-assign]
    try:
        job = manager.create("a")
        assert asked.wait(60)
        manager.pause()
        in_force(manager)
        answer.set()
        until(lambda: manager.find(job).status is Status.PENDING)  # type: ignore[union-attr]
        assert ran == []
        assert manager.find(job).attempts == 0  # type: ignore[union-attr]
    finally:
        answer.set()


def test_a_pause_ends_by_itself(hears: JobManager, ran: list[Any]) -> None:
    """Without a look, a notification or a poll: `hears` looks and polls once in a minute."""
    hears.start()
    until(lambda: hears.health().listening)
    end = datetime.now(UTC) + timedelta(seconds=6)
    hears.pause("q", until=end)
    in_force(hears)
    hears.create("a", queue="q")
    assert [pause.until for pause in hears.paused()] == [end]
    until(lambda: ran)
    assert datetime.now(UTC) >= end
    assert hears.paused() == []
    assert hears.resume("q") is None


def test_a_pause_that_is_over_pauses_nothing(hears: JobManager, ran: list[Any]) -> None:
    hears.start()
    hears.pause(until=datetime.now(UTC) - timedelta(days=1))
    assert hears.paused() == []
    hears.create("a")
    until(lambda: ran)


def test_a_job_below_the_watermarks_is_found_after_the_pause(make_manager: MakeManager, ran: list[Any]) -> None:
    """Claims make a full scan only if they are told to."""
    hears = make_manager(
        handler=lambda job: ran.append((job.queue, job.type)),
        heartbeat=600.0,
        lease=3600.0,
        poll_interval=60.0,
        _tuning=Tuning(look_interval=600.0, full_scan_every=10**9),
    )
    hears.migrate()
    hears.pause("q")
    hears.start()
    jobs = [hears.create("a", queue="q") for _ in range(3)]
    for _ in range(3):
        hears.create("a")
    until(lambda: len(ran) == 3)
    hears.resume("q")
    until(lambda: len(ran) == 6)
    assert ran[3:] == [("q", "a")] * 3
    assert [hears.find(job).attempts for job in jobs] == [1, 1, 1]  # type: ignore[union-attr]


def test_two_processes_hear_of_it_and_one_with_other_queues_goes_on(
    hears: JobManager, make_manager: MakeManager, ran: list[Any]
) -> None:
    more = {"heartbeat": 600.0, "lease": 3600.0, "poll_interval": 60.0, "_tuning": RARE}
    others = [
        make_manager(handler=lambda job: ran.append((job.queue, job.type)), queues=queues, **more) for queues in (["q"], ["z"])
    ]
    for manager in (hears, *others):
        manager.start()
        until(lambda manager=manager: manager.health().listening)
    hears.pause("q")
    in_force(hears)
    in_force(others[0])
    hears.create_many([("a", None)] * 4, queue="q")
    hears.create_many([("a", None)] * 4, queue="z")
    until(lambda: len(ran) == 4)
    assert set(ran) == {("z", "a")}
    hears.resume("q")
    until(lambda: len(ran) == 8)


def test_crashed_jobs_are_paused_too_and_a_last_chance_holds_up_nobody(
    hears: JobManager, conn: psycopg.Connection, schema: str, ran: list[Any]
) -> None:
    jobs = [hears.create("a", queue="q") for _ in range(2)]
    for job, crashes in zip(jobs, (1, 2), strict=True):  # another crash would fail the second one
        conn.execute(f"update {schema}.job set attempts = %s, crashes = %s where uid = %s", [crashes, crashes, job.uid])
    hears.pause("q")
    hears.start(2)
    for _ in range(20):
        hears.create("b")
    until(lambda: len(ran) == 20)
    assert {job.status for job in hears.fetch_all(queue="q")} == {Status.PENDING}
    hears.resume("q")
    until(lambda: len(ran) == 22)


def test_a_notification_that_comes_while_a_session_works_is_heard_after_the_statement(
    manager: JobManager, database_url: str, schema: str
) -> None:
    """The session may have begun to look before the pause was made."""
    statements = statements_for(Settings(schema=schema))
    heard: list[bool] = []
    with psycopg.connect(database_url, autocommit=True) as session:
        statements.notifications.listen_for_pauses(session, lambda: heard.append(True))
        for number in range(1, 4):
            manager.pause("q")
            session.execute("select")
            until(lambda number=number: session.execute("select") and len(heard) == number)  # type: ignore[misc]


def test_of_many_pauses_one_after_the_other_each_is_heard(hears: JobManager) -> None:
    hears.start()
    for _ in range(100):
        hears.pause("q")
        in_force(hears)
        hears.resume("q")
        in_force(hears, 0)


def test_a_process_that_lost_its_sessions_hears_of_what_was_paused_meanwhile(
    hears: JobManager, conn: psycopg.Connection, ran: list[Any]
) -> None:
    hears.start()
    hears.pause("r")
    in_force(hears)
    conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s and pid <> pg_backend_pid()",
        [APPLICATION],
    )
    until(lambda: hears.pause("q"))
    in_force(hears, 2)
    hears.resume("q")
    in_force(hears, 1)


# -- what the calls return and write --------------------------------------------------------------------------------------


def test_the_calls_return_the_pause_with_what_was_said(manager: JobManager, conn: psycopg.Connection) -> None:
    before = conn.execute("select clock_timestamp()").fetchone()[0]  # type: ignore[index]
    end = datetime.now(UTC) + timedelta(days=1)
    first = manager.pause("q", "a", reason="the provider is down", until=end)
    assert first == Pause("q", "a", first.since, end, "the provider is down", None)
    assert before <= first.since
    with manager.acting_as("ada"):
        everything = manager.pause()
    assert everything == Pause(None, None, everything.since, None, None, "ada")
    assert manager.paused() == [first, everything]
    again = manager.pause("q", "a", reason="still")
    assert again == Pause("q", "a", first.since, None, "still", None), "it has been paused since then"
    assert manager.paused() == [again, everything]
    assert manager.resume() == everything
    assert manager.resume("q") is None, "that would be another pause"
    assert manager.paused() == [again]
    assert manager.resume("q", "a") == again
    assert manager.paused() == []


def test_a_pause_that_is_made_again_after_its_end_is_a_new_one(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    first = manager.pause("q", until=datetime.now(UTC) + timedelta(hours=1))
    manager.pause("r", until=datetime.now(UTC) + timedelta(hours=1))
    conn.execute(f"update {schema}.pause set until = now() - interval '1 second'")
    second = manager.pause("q")
    assert second.since > first.since
    assert conn.execute(f"select queue from {schema}.pause").fetchall() == [("q",)], "what is over is deleted"


def test_each_call_leaves_a_row_in_the_audit(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    end = datetime(2100, 1, 1, tzinfo=UTC)
    with manager.acting_as("ada"):
        manager.pause("q", until=end)
        manager.pause()
        assert manager.resume("q", "a") is None
        manager.resume("q")
    manager.resume()
    rows = conn.execute(f"select actor, action, filter, done from {schema}.audit order by at").fetchall()
    assert rows == [
        ("ada", "pause", {"queue": "q", "until": str(end)}, 1),
        ("ada", "pause", {}, 1),
        ("ada", "resume", {"queue": "q"}, 1),
    ]


def test_many_pause_and_resume_at_once(manager: JobManager) -> None:
    def work() -> None:
        for _ in range(20):
            manager.pause("q")
            manager.resume("q")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert manager.paused() == []


# -- real processes -------------------------------------------------------------------------------------------------------

PROCESS = """
import os, sys, threading, time
from steve import JobManager

def run(job):
    os.write(1, f"{time.time()}\\n".encode())

manager = JobManager(sys.argv[1], schema=sys.argv[2], handlers={"a": run}, notify=sys.argv[3] == "True")
manager.start(2)
os.write(1, b"started\\n")
sys.stdin.readline()
manager.stop()
"""


class Processes:
    """Two that run jobs of the type "a", and the times of all begins."""

    def __init__(self, url: str, schema: str, notify: bool) -> None:
        self.begins: list[float] = []
        command = [sys.executable, "-c", PROCESS, url, schema, str(notify)]
        self._all = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        for process in self._all:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
        self._threads = [threading.Thread(target=self._read, args=(process.stdout,)) for process in self._all]
        for thread in self._threads:
            thread.start()

    def _read(self, lines: Any) -> None:
        for line in lines:
            self.begins.append(float(line))

    def end(self) -> None:
        for process in self._all:
            process.communicate("\n", timeout=60)
        for thread in self._threads:
            thread.join()


@pytest.fixture(params=[True, False], ids=["notifications", "no notifications"])
def processes(request: pytest.FixtureRequest, database_url: str, schema: str, manager: JobManager) -> Iterator[Processes]:
    processes = Processes(database_url, schema, request.param)
    processes.notify = request.param  # type: ignore[attr-defined]
    yield processes
    processes.end()


def test_two_real_processes_begin_nothing_once_the_pause_is_in_force(
    processes: Any, manager: JobManager, make_manager: MakeManager
) -> None:
    creator = make_manager(notify=processes.notify)
    ended = threading.Event()

    def create() -> None:
        while not ended.is_set():
            creator.create_many([("a", None)] * 10)
            time.sleep(0.05)

    thread = threading.Thread(target=create)
    thread.start()
    try:
        for _ in range(2):
            begun = len(processes.begins)
            until(lambda begun=begun: len(processes.begins) > begun + 50)  # type: ignore[misc]
            creator.pause(type="a")
            paused = time.time()
            # Nothing shows from outside when it is in force, so give it more than the longest time that is promised.
            seconds = 5.0 if processes.notify else 9.0
            until(lambda paused=paused, seconds=seconds: time.time() > paused + seconds + 0.3)  # type: ignore[misc]
            assert [at for at in list(processes.begins) if at > paused + seconds] == []
            creator.resume(type="a")
    finally:
        ended.set()
        thread.join()
    until(lambda: not manager.fetch_all("pending") and not manager.fetch_all("running"))
    jobs = all_jobs(manager)
    assert {job.attempts for job in jobs} == {1}
    until(lambda: len(processes.begins) == len(jobs))


def all_jobs(manager: JobManager) -> list[Job]:
    jobs: list[Job] = []
    while page := manager.fetch_all(limit=10_000, before=jobs[-1] if jobs else None):
        jobs += page
    return jobs
