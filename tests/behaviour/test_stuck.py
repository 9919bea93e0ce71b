"""Handlers that do not come back: they are reported, others run in their place, and when they return nothing is left over."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from steve import Job, JobManager, current_run
from tests.behaviour.test_words import ended
from tests.conftest import until

MakeManager = Callable[..., JobManager]


@pytest.fixture
def manager(make_manager: MakeManager, gate: threading.Event) -> JobManager:
    """With a handler `hangs` that is stuck after 0.15 s until the gate opens, and one, `quick`, that is not. Not started."""
    manager = make_manager(stuck_after=0.1)
    manager.migrate()
    manager.handler("hangs", timeout=0.05)(lambda job: gate.wait(60))
    manager.handler("quick")(lambda job: current_run().attempt)
    return manager


@pytest.fixture(autouse=True)
def opened_at_the_end(gate: threading.Event, make_manager: MakeManager) -> Iterator[None]:
    """Before the managers are stopped."""
    yield
    gate.set()


def slots() -> int:
    return sum(thread.name.startswith("steve-worker-slot") for thread in threading.enumerate())


def test_a_stuck_handler_is_logged_once_with_its_stack_told_and_shown(
    manager: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Job] = []
    manager.on_stuck(told.append)
    manager.start(1)
    job = manager.create("hangs")
    until(lambda: told)
    assert [(one.uid, one.status) for one in told] == [(job.uid, "running")]
    assert [one.uid for one in manager.health().stuck] == [job.uid]
    assert manager.health().ok, "others run in its place"
    ended(manager, manager.create("quick"))
    lines = [record.getMessage() for record in caplog.records if "is stuck" in record.getMessage()]
    assert len(lines) == len(told) == 1
    assert "has not returned 0.1 s after its timeout of 0.05 s" in lines[0]
    assert "gate.wait(60)" in lines[0]


def test_others_run_in_the_place_of_a_stuck_handler_and_when_it_returns_nothing_is_left_over(
    manager: JobManager, gate: threading.Event
) -> None:
    manager.start(1)
    job = manager.create("hangs")
    for quick in manager.create_many([("quick", None)] * 20):
        ended(manager, quick)
    assert slots() == 1
    gate.set()
    assert ended(manager, job).result is True, "a handler that returns all the same has completed"
    until(lambda: not slots())
    until(lambda: manager.health().stuck == ())
    assert ended(manager, manager.create("quick")).status == "completed"
    assert manager.stop(30).complete


def test_fifty_stuck_handlers_do_not_starve_fifty_workers(make_manager: MakeManager, gate: threading.Event) -> None:
    manager = make_manager(stuck_after=0.5)
    manager.handler("hangs", timeout=0.1)(lambda job: gate.wait(60))
    manager.handler("quick")(lambda job: None)
    told: list[Job] = []
    manager.on_stuck(told.append)
    manager.start(50)
    stuck = manager.create_many([("hangs", None)] * 50)
    quick = manager.create_many([("quick", None)] * 500)
    for job in quick:
        assert ended(manager, job).status == "completed"
    until(lambda: len(told) == 50)
    assert slots() <= 50
    gate.set()
    for job in stuck:
        assert ended(manager, job).status == "completed"
    until(lambda: not slots())
    until(lambda: manager.health().stuck == ())
    assert manager.health().restarted_threads == 0
    assert manager.stop(30).complete


def test_there_are_no_more_slots_than_workers_and_health_says_when_that_is_not_enough(
    manager: JobManager, gate: threading.Event
) -> None:
    manager.start(1)
    manager.create_many([("hangs", None)] * 3)
    until(lambda: len(manager.health().stuck) == 2)
    assert slots() == 1
    assert "2 handlers are stuck, and at most 1 of them are replaced" in manager.health().problems
    assert not manager.health().ok
    gate.set()
    until(lambda: manager.health().ok and not manager.health().stuck)
    until(lambda: not slots())


def test_a_stop_reports_a_stuck_handler_and_waits_for_it(manager: JobManager, gate: threading.Event) -> None:
    manager.start(2)
    job = manager.create("hangs")
    until(lambda: manager.health().stuck)
    report = manager.stop(0.2)
    assert not report.complete
    assert [one.uid for one in report.still_running] == [job.uid]
    gate.set()
    assert manager.stop(60).complete
    until(lambda: not slots())
    found = manager.find(job)
    assert found is not None
    assert found.status == "completed"


def test_a_stuck_job_stays_with_its_process_which_beats_on(
    make_manager: MakeManager, gate: threading.Event, conn: psycopg.Connection[Any], schema: str
) -> None:
    manager = make_manager(stuck_after=0.1, lease=60.0, heartbeat=0.1)
    manager.handler("hangs", timeout=0.05)(lambda job: gate.wait(60))
    manager.start(1)
    job = manager.create("hangs")
    until(lambda: manager.health().stuck)
    beaten = f"select heartbeat_at from {schema}.process".encode()
    for _ in range(3):
        before = conn.execute(beaten).fetchall()
        until(lambda before=before: conn.execute(beaten).fetchall() > before)
    found = manager.find(job)
    assert found is not None
    assert (found.status, found.attempts, found.crashes) == ("running", 1, 0)
    gate.set()
    assert ended(manager, job).attempts == 1


def test_a_stuck_job_on_its_last_chance_holds_up_no_others(
    manager: JobManager, gate: threading.Event, conn: psycopg.Connection[Any], schema: str
) -> None:
    job = manager.create("hangs")
    conn.execute(f"update {schema}.job set crashes = 2, attempts = 2 where uid = %s".encode(), [job.uid])
    manager.start(2)
    until(lambda: manager.health().stuck)
    for quick in manager.create_many([("quick", None)] * 20):
        ended(manager, quick)
    another = manager.create("quick")
    conn.execute(f"update {schema}.job set crashes = 2, attempts = 2 where uid = %s".encode(), [another.uid])
    assert ended(manager, another).status == "completed", "one that is on its last chance, too"
    gate.set()
    assert ended(manager, job).status == "completed"
    assert ended(manager, manager.create("quick")).status == "completed"
    assert manager.stop(30).complete


def test_others_begin_when_a_slot_that_ran_a_job_on_its_last_chance_is_closed(
    manager: JobManager, gate: threading.Event, conn: psycopg.Connection[Any], schema: str
) -> None:
    """The slot closes while it runs that job, and the worker whose handler was stuck has found nothing to do meanwhile."""
    begun, done = threading.Event(), threading.Event()

    def slow(job: Job) -> None:
        begun.set()
        done.wait(60)

    manager.set_handler("slow", slow)
    manager.start(1)
    job = manager.create("hangs")
    until(lambda: manager.health().stuck)
    last = manager.create("slow", run_at=datetime.now(UTC) + timedelta(days=1))
    conn.execute(f"update {schema}.job set crashes = 2, attempts = 2, run_at = now() where uid = %s".encode(), [last.uid])
    assert begun.wait(60)
    gate.set()
    assert ended(manager, job).status == "completed"
    until(lambda: not manager.health().stuck)
    done.set()
    assert ended(manager, last).status == "completed"
    assert ended(manager, manager.create("quick")).status == "completed"


def test_a_slot_has_the_hooks_of_a_worker_thread(manager: JobManager, gate: threading.Event) -> None:
    inside: list[str] = []

    @contextlib.contextmanager
    def hook() -> Iterator[None]:
        inside.append(threading.current_thread().name)
        yield
        inside.remove(threading.current_thread().name)

    manager.around_thread(hook)
    manager.start(1)
    job = manager.create("hangs")
    until(lambda: any(name.startswith("steve-worker-slot") for name in inside))
    gate.set()
    ended(manager, job)
    until(lambda: not any(name.startswith("steve-worker-slot") for name in inside))
    assert manager.stop(30).complete
    assert inside == []


def test_a_listener_for_stuck_jobs_can_be_removed_and_may_raise(
    manager: JobManager, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fails(job: Job) -> None:
        raise ValueError("no")

    with manager.on_stuck(lambda job: told.append("removed")):
        pass
    manager.on_stuck(fails)
    manager.on_stuck(lambda job: told.append("kept"))
    manager.start(1)
    manager.create("hangs")
    until(lambda: told)
    assert told == ["kept"]
    assert "a listener raised" in caplog.text
    with pytest.raises(TypeError, match="a listener must be callable, not int"):
        manager.on_stuck(5)  # type: ignore[arg-type]


def test_a_handler_that_comes_back_in_time_is_not_stuck(make_manager: MakeManager) -> None:
    manager = make_manager(stuck_after=60)
    manager.handler("late", timeout=0.05)(lambda job: current_run().wait(60))
    told: list[Job] = []
    manager.on_stuck(told.append)
    manager.start(1)
    ended(manager, manager.create("late"))
    assert told == []
    assert not slots()
