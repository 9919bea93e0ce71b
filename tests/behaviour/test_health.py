"""Whether a manager does its work: what health() says, which listeners are told, and threads that break off and begin again."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from steve import Health, Job, JobManager, Status
from steve._model.tuning import Tuning
from tests.behaviour.breaker import Breaker
from tests.behaviour.proxy import Proxy
from tests.conftest import until

SOON = Tuning(unhealthy_after=0.3, health_check=0.05)
"""Trouble counts after a moment."""


def test_a_manager_at_work_is_healthy(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(handler=lambda job: None)
    manager.start()
    job = manager.create("a")
    until(lambda: manager.find(job).status is Status.COMPLETED)
    # The job can be seen in the database before the settler has read that it is there.
    until(lambda: manager.health().oldest_unsettled == 0.0)
    until(lambda: manager.health().listening)
    until(lambda: None not in manager.health().answered.values())
    health = manager.health()
    assert health.problems == ()
    assert health.ok
    assert health.running
    assert health.dead_threads == ()
    assert health.restarted_threads == 0
    assert set(health.answered) == {"claim", "settle", "heartbeat", "listen"}
    assert all(ago is not None and 0 <= ago < 60 for ago in health.answered.values())
    assert health.heartbeat_age is not None
    assert 0 <= health.heartbeat_age < 60
    assert health.oldest_unsettled == 0
    assert health.scan_seconds is not None
    assert 0 < health.scan_seconds < 60


def test_a_manager_that_does_not_run_says_so_and_can_create_jobs_all_the_same(make_manager: Callable[..., JobManager]) -> None:
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


def test_listeners_are_told_once_of_an_outage_and_once_of_its_end(
    make_manager: Callable[..., JobManager], proxy: Proxy
) -> None:
    heard: list[tuple[str, Health]] = []
    tuning = Tuning(unhealthy_after=3.0, health_check=0.05)  # long enough that no busy machine makes it unhealthy
    manager = make_manager(proxy.conninfo, handler=lambda job: None, poll_interval=0.1, create_timeout=3.0, _tuning=tuning)

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
    assert len(heard) == 3  # a manager that has been stopped is not unhealthy


def test_a_heartbeat_that_cannot_be_given_is_a_problem_before_the_lease_is_over(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(handler=lambda job: None, lease=3.0, heartbeat=0.1)
    manager.start()
    with conn.transaction():
        conn.execute(f"lock table {schema}.process in exclusive mode")
        until(lambda: not manager.health().ok)
        assert "heartbeat" in manager.health().problems[0]
    until(lambda: manager.health().ok)


def test_workers_that_die_are_replaced_and_no_job_is_lost(make_manager: Callable[..., JobManager], breaker: Breaker) -> None:
    meeting = threading.Barrier(3)

    def handler(job: Job) -> None:
        if job.type == "meet":
            meeting.wait(60)

    manager = make_manager(handler=handler)
    manager.start(workers=3)
    for _ in range(3):
        for _ in range(3):
            breaker.kill_worker()
        jobs = manager.create_many([("a", {"n": n}) for n in range(50)])
        until(lambda jobs=jobs: {manager.find(job).status for job in jobs} == {Status.COMPLETED})
    until(lambda: manager.health().restarted_threads > 0)
    until(lambda: manager.health().ok)
    meet = manager.create_many([("meet", None)] * 3)
    until(lambda: {manager.find(job).status for job in meet} == {Status.COMPLETED})  # three at a time, as before
    assert {job.attempts for job in manager.fetch_all(limit=1_000)} == {1}
    assert manager.stop(timeout=60).complete


LOOPS = {
    "heartbeat": ("beat", "liveness/database.py"),
    "notifier": ("hear", "claim/notifier.py"),
    "settler": ("write", "settle/database.py"),
    "dispatcher": ("release_if_drained", "upkeep/backpressure.py"),
    "maintenance": ("give_back", "claim/buffer.py"),
    "scanner": ("work", "liveness/reconcile.py"),
    "watcher": ("health", "_engine/engine.py"),
}
"""What each loop calls again and again, by the name of its thread."""


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_that_breaks_off_begins_again(name: str, make_manager: Callable[..., JobManager], breaker: Breaker) -> None:
    manager = make_manager(handler=lambda job: None, heartbeat=0.1, lease=60.0)
    manager.on_done(None, lambda job: None)
    manager.start()
    until(lambda: manager.health().listening)
    function, file = LOOPS[name]
    breaker.break_off(f"steve-{name}", function, file=file)
    first = manager.create("a")
    until(lambda: manager.health().restarted_threads == 1)
    until(lambda: manager.find(first).status is Status.COMPLETED)
    until(lambda: manager.health().ok and manager.health().listening)
    assert manager.health().restarted_threads == 1
    job = manager.create("a")
    until(lambda: manager.find(job).status is Status.COMPLETED)
    assert manager.stop(timeout=60).complete


def test_a_settler_that_breaks_off_tells_each_outcome_once(make_manager: Callable[..., JobManager], breaker: Breaker) -> None:
    """Also of the outcomes that were in the database already when it broke off, before it knew."""
    manager = make_manager(handler=lambda job: job.payload)
    done: list[Any] = []
    manager.on_done(None, lambda job: done.append(job.result))
    manager.start(workers=4)
    breaker.break_off("steve-settler", "write", "return", file="settle/database.py")
    jobs = manager.create_many([("a", {"n": n}) for n in range(20)])
    until(lambda: {manager.find(job).status for job in jobs} == {Status.COMPLETED})
    until(lambda: len(done) == 20)
    assert manager.health().restarted_threads == 1
    assert manager.stop(timeout=60).complete
    assert sorted(result["n"] for result in done) == list(range(20))


def test_claims_whose_reply_cannot_be_read_make_the_manager_unhealthy(
    make_manager: Callable[..., JobManager], database_url: str, schema: str
) -> None:
    """The database answers, also when it is asked what these claims took. Only a claim that worked makes it healthy again."""
    manager = make_manager(handlers={"a": lambda job: None}, poll_interval=0.05, _tuning=SOON)
    manager.start()
    job = manager.create("a")
    until(lambda: manager.find(job).status is Status.COMPLETED)
    with psycopg.connect(database_url) as other:
        # It keeps out times that Python does not have.
        other.execute(f"alter domain {schema}.instant drop constraint instant_check")
        other.execute(f"insert into {schema}.job (type, run_at) values ('odd', '4000-01-01 BC')")
        other.commit()
        # As long as this is not committed, a claim sees the row and cannot lock it.
        other.execute(f"delete from {schema}.job where type = 'odd'")
        manager.set_handler("odd", lambda job: None)
        until(lambda: any("claiming cannot use the database" in problem for problem in manager.health().problems))
        seen = [manager.health().ok for _ in range(50)]
        assert not any(seen), "it is healthy now and then while every claim fails"
    until(lambda: manager.health().ok)
    another = manager.create("a")
    until(lambda: manager.find(another).status is Status.COMPLETED)


def test_slow_listeners_that_hold_up_the_claims_make_the_manager_unhealthy(make_manager: Callable[..., JobManager]) -> None:
    tuning = replace(SOON, events_most=2)
    manager = make_manager(handler=lambda job: None, poll_interval=0.05, _tuning=tuning)
    gate = threading.Event()
    manager.on_done(None, lambda job: gate.wait(60))
    try:
        manager.start()
        manager.create_many([("a", None)] * 20)
        until(lambda: any("slow listeners" in problem for problem in manager.health().problems))
    finally:
        gate.set()
    until(lambda: manager.health().ok)


def test_a_job_on_its_last_chance_that_holds_up_all_others_makes_it_unhealthy(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    gate = threading.Event()
    handlers = {"long": lambda job: gate.wait(60) and None, "a": lambda job: None}
    manager = make_manager(handlers=handlers, poll_interval=0.05, _tuning=SOON)
    try:
        manager.start(workers=2)
        long = manager.create("long")
        until(lambda: manager.find(long).status is Status.RUNNING)
        last = manager.create("a", run_at=datetime.now(UTC) + timedelta(days=1))
        conn.execute(f"update {schema}.job set attempts = 2, crashes = 2, run_at = now() where uid = %s", [last.uid])
        until(lambda: any("on its last chance" in problem for problem in manager.health().problems))
    finally:
        gate.set()
    until(lambda: manager.find(last).status is Status.COMPLETED)
    until(lambda: manager.health().ok)
