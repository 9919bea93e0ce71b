"""Whether a manager does its work: what health() says, who is told, and threads that are broken off and come back."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from tests.engine.test_threads import kill_worker

from steve import Health, Job, JobManager, Status
from tests.behaviour.proxy import Proxy
from tests.conftest import until


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble counts after a moment."""
    monkeypatch.setattr("steve.health.UNHEALTHY_SECONDS", 0.3)
    monkeypatch.setattr("steve._engine.engine.WATCH_SECONDS", 0.05)


def test_a_manager_at_work_is_healthy(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(handler=lambda job: None)
    manager.start()
    job = manager.create("a")
    until(lambda: manager.find(job).status is Status.COMPLETED)
    until(lambda: manager.health().listening)
    health = manager.health()
    assert health.ok
    assert health.problems == ()
    assert health.running
    assert health.dead_threads == ()
    assert health.restarted_threads == 0
    assert set(health.answered) == {"claim", "settle", "heartbeat", "listen"}
    assert all(ago is not None and 0 <= ago < 60 for ago in health.answered.values())
    assert health.heartbeat_age is not None
    assert 0 <= health.heartbeat_age < 60
    assert health.oldest_unsettled == 0
    assert health.scan_seconds is not None
    assert 0 < health.scan_seconds < 5


def test_one_that_does_not_run_says_so_and_may_create_jobs_all_the_same(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(handler=lambda job: None)
    assert not manager.health().ok
    assert "start()" in manager.health().problems[0]
    assert "python -m steve migrate" in manager.check_health().problems[0]
    manager.migrate()
    assert manager.check_health() == Health(ok=True)
    manager.start()
    assert manager.check_health().running
    manager.stop()
    assert not manager.health().ok
    assert manager.check_health().ok


def test_without_notify_there_is_nothing_to_hear(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(handler=lambda job: None, notify=False)
    manager.start()
    assert manager.health().listening is None
    assert set(manager.health().answered) == {"claim", "settle", "heartbeat"}


@pytest.mark.usefixtures("soon")
def test_an_outage_makes_it_unhealthy_until_it_is_over_and_both_are_told_once(
    make_manager: Callable[..., JobManager], proxy: Proxy
) -> None:
    heard: list[tuple[str, Health]] = []
    manager = make_manager(proxy.conninfo, handler=lambda job: None, poll_interval=0.1, create_timeout=0.2)

    @manager.on_unhealthy
    def _(health: Health) -> None:
        heard.append(("unhealthy", health))
        raise RuntimeError("a listener's own trouble")

    manager.on_unhealthy(lambda health: heard.append(("unhealthy too", health)))
    manager.on_healthy(lambda health: heard.append(("healthy", health)))
    manager.start()
    proxy.refuse()
    proxy.cut()
    until(lambda: len(heard) == 2)
    assert [what for what, _ in heard] == ["unhealthy", "unhealthy too"]
    assert "cannot use the database" in heard[0][1].problems[0]
    assert not manager.health().ok
    assert not manager.check_health().ok
    proxy.accept()
    until(lambda: len(heard) == 3)
    assert heard[2][0] == "healthy"
    assert heard[2][1].ok
    assert manager.stop().complete
    assert len(heard) == 3  # the end is no illness


def test_a_heartbeat_that_cannot_be_given_is_a_problem_before_the_lease_is_over(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(handler=lambda job: None, lease=0.6, heartbeat=0.1)
    manager.start()
    with conn.transaction():
        conn.execute(f"lock table {schema}.process in exclusive mode")
        until(lambda: not manager.health().ok)
        assert "heartbeat" in manager.health().problems[0]
    until(lambda: manager.health().ok)


def test_workers_that_are_broken_off_are_replaced_and_no_job_is_lost(make_manager: Callable[..., JobManager]) -> None:
    meeting = threading.Barrier(3)

    def handler(job: Job) -> None:
        if job.type == "meet":
            meeting.wait(10)

    manager = make_manager(handler=handler)
    manager.start(workers=3)
    (engine,) = manager._engines
    for _ in range(3):
        for _ in range(3):
            kill_worker(engine._threads)
        jobs = manager.create_many([("a", {"n": n}) for n in range(50)])
        until(lambda jobs=jobs: {manager.find(job).status for job in jobs} == {Status.COMPLETED}, timeout=20)
    assert manager.health().restarted_threads > 0
    until(lambda: manager.health().ok)
    meet = manager.create_many([("meet", None)] * 3)
    until(lambda: {manager.find(job).status for job in meet} == {Status.COMPLETED})  # three at a time, as ever
    assert {job.attempts for job in manager.fetch_all(limit=1_000)} == {1}
    assert manager.stop(timeout=20).complete


def raising_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, the first time broken off by what no loop expects."""
    calls: list[int] = []

    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise SystemExit
        return function(*arguments, **keywords)

    return wrapped


LOOPS = {
    "heartbeat": lambda engine: (engine._alive.heartbeat, "_beat"),
    "notifier": lambda engine: (engine._notifier, "_hear"),
    "settler": lambda engine: (engine._settler._database, "write"),
    "dispatcher": lambda engine: (engine._dispatcher.brake, "ease"),
    "maintenance": lambda engine: (engine._hand, "give_back"),
    "scanner": lambda engine: (engine._alive, "work"),
    "watcher": lambda engine: (engine, "health"),
}
"""What each calls again and again, by the name of its thread."""


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_that_is_broken_off_begins_again(
    name: str, make_manager: Callable[..., JobManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager(handler=lambda job: None, heartbeat=0.1, lease=60.0)
    manager.on_done(None, lambda job: None)
    manager.start()
    until(lambda: manager.health().listening)
    (engine,) = manager._engines
    of, what = LOOPS[name](engine)
    monkeypatch.setattr(of, what, raising_once(getattr(of, what)))
    first = manager.create("a")
    until(lambda: engine._threads.restarted == 1)
    until(lambda: manager.find(first).status is Status.COMPLETED)
    until(lambda: manager.health().ok and manager.health().listening)
    assert manager.health().restarted_threads == 1
    job = manager.create("a")
    until(lambda: manager.find(job).status is Status.COMPLETED)
    assert manager.stop(timeout=20).complete


def test_a_settler_that_is_broken_off_writes_what_it_had_in_hand(
    make_manager: Callable[..., JobManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager(handler=lambda job: job.payload)
    done: list[Any] = []
    manager.on_done(None, lambda job: done.append(job.result))
    manager.start(workers=4)
    (engine,) = manager._engines
    settler = engine._settler
    written = settler._database.write
    calls: list[int] = []

    def write(verdicts: Any, now: float) -> Any:
        calls.append(len(verdicts))
        landed = written(verdicts, now)
        if len(calls) == 1:
            raise SystemExit  # it is in the database already, and the settler will not know
        return landed

    monkeypatch.setattr(settler._database, "write", write)
    jobs = manager.create_many([("a", {"n": n}) for n in range(20)])
    until(lambda: {manager.find(job).status for job in jobs} == {Status.COMPLETED})
    until(lambda: len(done) == 20)
    assert manager.health().restarted_threads == 1
    assert manager.stop(timeout=20).complete
    assert sorted(result["n"] for result in done) == list(range(20))


@pytest.mark.usefixtures("soon")
def test_a_claim_that_fails_for_no_fault_of_the_databases_shows_and_only_a_claim_that_worked_ends_it(
    make_manager: Callable[..., JobManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager(handler=lambda job: None, poll_interval=0.05)
    failing = threading.Event()
    claim = manager._store.claim_jobs

    def fail(*arguments: Any) -> Any:
        if failing.is_set():
            raise UnicodeEncodeError("latin-1", "\u2192", 0, 1, "no such letter")
        return claim(*arguments)

    monkeypatch.setattr(manager._store, "claim_jobs", fail)
    manager.start()
    job = manager.create("a")
    until(lambda: manager.find(job).status is Status.COMPLETED)
    failing.set()
    until(lambda: any("claiming cannot use the database" in problem for problem in manager.health().problems))
    seen = [manager.health().ok for _ in range(50)]
    assert not any(seen), "it does not flap while every claim fails"
    failing.clear()
    until(lambda: manager.health().ok)


@pytest.mark.usefixtures("soon")
def test_slow_listeners_that_hold_up_the_claims_show(
    make_manager: Callable[..., JobManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve._engine.events.listeners.EVENTS_MOST", 2)
    manager = make_manager(handler=lambda job: None, poll_interval=0.05)
    gate = threading.Event()
    manager.on_done(None, lambda job: gate.wait(30))
    try:
        manager.start()
        manager.create_many([("a", None)] * 20)
        until(lambda: any("slow listeners" in problem for problem in manager.health().problems))
    finally:
        gate.set()
    until(lambda: manager.health().ok)


@pytest.mark.usefixtures("soon")
def test_a_job_on_its_last_chance_that_keeps_others_from_beginning_shows(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    gate = threading.Event()
    manager = make_manager(handlers={"long": lambda job: gate.wait(30) and None, "a": lambda job: None}, poll_interval=0.05)
    try:
        manager.start(workers=2)
        long = manager.create("long")
        until(lambda: manager.find(long).status is Status.RUNNING)
        last = manager.create("a", run_at=datetime.now(UTC) + timedelta(days=1))
        conn.execute(f"update {schema}.job set attempts = 2, crashes = 2, run_at = now() where uid = %s", [last.uid])
        until(lambda: any("on its last chance" in problem for problem in manager.health().problems), 20)
    finally:
        gate.set()
    until(lambda: manager.find(last).status is Status.COMPLETED)
    until(lambda: manager.health().ok)
