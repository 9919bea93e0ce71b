"""Which jobs a manager claims, and in which order: queues, types with and without a handler, priorities, age."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from steve import Job, JobManager, Status
from steve._model.tuning import Tuning
from tests.conftest import until


def completed(manager: JobManager, number: int) -> bool:
    return len(manager.fetch_all(Status.COMPLETED, limit=10_000)) == number


def untouched(manager: JobManager, jobs: list[Job]) -> bool:
    """Whether the jobs are in the database as they were created."""
    return [manager.find(job) for job in jobs] == jobs


# -- queues ---------------------------------------------------------------------------------------------------------------


def test_a_manager_works_only_on_its_queues(make_manager: Callable[..., JobManager], manager: JobManager) -> None:
    done: list[tuple[str, str]] = []
    jobs = {queue: manager.create("a", queue=queue) for queue in ("default", "mail", "images", "Mail")}
    mail = make_manager(handler=lambda job: done.append(("mail", job.queue)), queues=["mail", "none such"])
    images = make_manager(handler=lambda job: done.append(("images", job.queue)), queues=iter(["images", "default"]))
    with mail:
        until(lambda: completed(manager, 1))
        assert untouched(manager, [jobs["default"], jobs["images"], jobs["Mail"]])
        with images:
            until(lambda: completed(manager, 3))
            later = [manager.create("a", queue=queue) for queue in ("mail", "default", "Mail")]
            until(lambda: completed(manager, 5))
            assert untouched(manager, [jobs["Mail"], later[2]])
    assert sorted(done) == [
        ("images", "default"),
        ("images", "default"),
        ("images", "images"),
        ("mail", "mail"),
        ("mail", "mail"),
    ]


def test_a_manager_without_queues_works_on_all_also_on_new_ones(
    make_manager: Callable[..., JobManager],
) -> None:
    with make_manager(handler=lambda job: job.queue) as manager:
        jobs = [manager.create("a", queue=queue) for queue in ("default", "q" * 255, "Schlange nº 5", "'; --", "{}", "null")]
        until(lambda: completed(manager, len(jobs)))
        assert [job.result for job in map(manager.find, jobs) if job] == [job.queue for job in jobs]


# -- the order ------------------------------------------------------------------------------------------------------------

KEPT = Tuning(buffer_age=3600.0)
"""No job goes back because the machine is busy: it would run after those that were claimed with it."""


def test_a_higher_priority_goes_first_and_of_equal_priorities_the_older_job(make_manager: Callable[..., JobManager]) -> None:
    order: list[UUID] = []
    manager = make_manager(handler=lambda job: order.append(job.uid), _tuning=KEPT)
    manager.migrate()
    priorities = [0, 5, -100, 100, 5, 0, -3, 100, -100, 99] * 4
    jobs = [manager.create("a", priority=priority) for priority in priorities]
    manager.start(workers=1)
    until(lambda: completed(manager, len(jobs)))
    assert order == [job.uid for job in sorted(jobs, key=lambda job: (-job.priority, job.run_at))]


def test_the_older_job_is_the_one_that_has_been_due_for_longer(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    order: list[UUID] = []
    manager = make_manager(handler=lambda job: order.append(job.uid), _tuning=KEPT)
    manager.migrate()
    jobs = manager.create_many([("a", None)] * 5)
    ages = [2, 5, 1, 4, 3]
    for job, age in zip(jobs, ages, strict=True):
        conn.execute(f"update {schema}.job set run_at = now() - %s * interval '1 s' where uid = %s", [age, job.uid])
    manager.start(workers=1)
    until(lambda: completed(manager, 5))
    assert order == [jobs[n].uid for n in (1, 3, 4, 0, 2)]


def test_an_urgent_job_overtakes_those_that_are_not_claimed_yet(
    make_manager: Callable[..., JobManager], gate: threading.Event
) -> None:
    order: list[str] = []

    def wait(job: Job) -> None:
        order.append(job.type)
        gate.wait(60)

    # Nothing is claimed ahead, because no duration of any type is known yet. Each claim is a full scan: the others do not look
    # at a priority that is new.
    tuning = Tuning(full_scan_every=0, slow_scan=3600.0)
    manager = make_manager(handlers=dict.fromkeys(("first", "late", "urgent"), wait), _tuning=tuning)
    manager.start(workers=1)
    manager.create("first")
    until(lambda: order)
    manager.create_many([("late", None)] * 20)
    manager.create("urgent", priority=1)
    gate.set()
    until(lambda: completed(manager, 22))
    assert order[:2] == ["first", "urgent"]


def test_jobs_that_are_not_due_hold_up_no_others(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(handler=lambda job: None)
    manager.migrate()
    later = manager.create_many([("a", None)] * 500, run_at=datetime.now(UTC) + timedelta(days=1), priority=100)
    manager.start(workers=1)
    now = manager.create_many([("a", None)] * 20)
    until(lambda: completed(manager, len(now)))
    assert untouched(manager, later[::50])


def test_the_jobs_of_fifty_types_at_once_are_all_done(make_manager: Callable[..., JobManager]) -> None:
    order: list[str] = []
    types = [f"type {n}" for n in range(50)]
    manager = make_manager(handlers=dict.fromkeys(types, lambda job: order.append(job.type)))
    manager.migrate()
    jobs = manager.create_many([(name, None) for _ in range(20) for name in types])
    manager.start(workers=2)
    until(lambda: completed(manager, len(jobs)), timeout=60)
    assert Counter(order) == dict.fromkeys(types, 20)


def test_a_type_whose_jobs_never_run_out_does_not_starve_the_others(make_manager: Callable[..., JobManager]) -> None:
    done: Counter[str] = Counter()
    others = [f"type {n}" for n in range(49)]
    manager = make_manager(handler=lambda job: done.update([job.type]))
    manager.start(workers=1)
    created = 0

    def feed() -> None:
        nonlocal created
        while created - done["endless"] < 500:
            created += len(manager.create_many([("endless", None)] * 500))

    def others_are_done() -> bool:
        feed()
        return all(done[name] == 5 for name in others)

    feed()
    manager.create_many([(name, None) for _ in range(5) for name in others])
    until(others_are_done)


# -- types and handlers ---------------------------------------------------------------------------------------------------


def test_types_without_a_handler_stay_pending_and_no_attempt_is_counted(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(handlers={"mine": lambda job: None})
    manager.migrate()
    theirs = manager.create_many([("theirs", None)] * 20 + [("Mine", None), ("min", None)], priority=100)
    with manager:
        manager.create_many([("mine", None)] * 20)
        until(lambda: completed(manager, 20))
    assert untouched(manager, theirs)


def test_a_manager_without_any_handler_claims_nothing_until_it_gets_one(
    make_manager: Callable[..., JobManager],
) -> None:
    idle = make_manager(poll_interval=600)
    busy = make_manager(handlers={"b": lambda job: "busy"})
    with idle, busy:
        job = idle.create("a")
        idle.create("b")
        until(lambda: completed(idle, 1))
        assert untouched(idle, [job])

        @idle.handler("a")
        def handle(job: Job) -> str:
            return "idle"

        until(lambda: completed(idle, 2))
        assert [found.result for found in idle.fetch_all(type="a")] == ["idle"]


def test_the_fallback_handles_every_type_that_has_no_handler_of_its_own(make_manager: Callable[..., JobManager]) -> None:
    with make_manager(handler=lambda job: "fallback", handlers={"own": lambda job: "own"}) as manager:
        manager.create_many([(name, None) for name in ("own", "a", "ä", "x" * 255)] * 5)
        until(lambda: completed(manager, 20))
        results = Counter((job.type == "own", job.result) for job in manager.fetch_all())
    assert results == {(True, "own"): 5, (False, "fallback"): 15}


def test_handlers_are_set_replaced_and_taken_away_while_the_manager_runs(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(handlers={"a": lambda job: "first"}, poll_interval=600)
    results: list[Any] = []
    manager.on_success("a", lambda job: results.append(job.result))
    with manager:
        manager.create("a")
        until(lambda: results == ["first"])
        with pytest.raises(ValueError, match="'a' has a handler already"):
            manager.handler("a")(lambda job: "twice")
        manager.set_handler("a", lambda job: "second")
        manager.create("a")
        until(lambda: results == ["first", "second"])

        manager.set_handler("a", None)
        assert not manager.has_handler("a")
        waiting = manager.create("a")
        manager.set_handler("b", lambda job: None)
        other = manager.create("b")
        until(lambda: manager.find(other).status == "completed")  # type: ignore[union-attr]
        # A claim that was under way when the handler was taken away may have brought the job, which is then given back.
        until(lambda: [(job.uid, job.attempts) for job in manager.fetch_all(Status.PENDING)] == [(waiting.uid, 0)])
        assert results == ["first", "second"]
        manager.set_handler("a", lambda job: "third")
        assert manager.has_handler("a")
        until(lambda: results == ["first", "second", "third"])

        manager.reset_handlers()
        assert not manager.has_handler("a")
        assert not manager.has_handler("b")
        manager.create_many([("a", None), ("b", None)])
        manager.set_handler("a", lambda job: "fourth")
        until(lambda: results == ["first", "second", "third", "fourth"])
        assert [job.type for job in manager.fetch_all(Status.PENDING)] == ["b"]


def test_reset_handlers_leaves_the_fallback(make_manager: Callable[..., JobManager]) -> None:
    with make_manager(handler=lambda job: "fallback", handlers={"a": lambda job: "own"}) as manager:
        manager.reset_handlers()
        assert not manager.has_handler("a")
        manager.create("a")
        until(lambda: completed(manager, 1))
        assert manager.fetch_all()[0].result == "fallback"


def test_a_job_whose_handler_is_taken_away_after_the_claim_goes_back_uncounted(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    def forget(job: Job) -> None:
        if job.payload:
            manager.set_handler("a", None)

    manager = make_manager(handlers={"a": forget}, _tuning=Tuning(claim_ahead=3600.0))
    manager.start(workers=1)
    manager.create_many([("a", None)] * 100)  # from these it learns how fast the type is, and claims far ahead
    until(lambda: completed(manager, 100))
    jobs = manager.create_many([("a", {"forget": True})] + [("a", None)] * 19)
    until(lambda: completed(manager, 101))
    until(lambda: not manager.fetch_all(Status.RUNNING))
    assert conn.execute(f"select count(*) from {schema}.job where lease_no = 2").fetchone() > (0,), "none was claimed ahead"
    back = [manager.find(job) for job in jobs[1:]]
    assert [(job.attempts, job.claimed_at, job.started_at, job.run_at) for job in back if job] == [
        (0, None, None, job.run_at) for job in jobs[1:]
    ]
    assert all(manager.history(job) == [] for job in jobs[1:])
    manager.set_handler("a", lambda job: None)
    until(lambda: completed(manager, 120))
    assert {job.attempts for job in manager.fetch_all(limit=200)} == {1}


def test_two_managers_with_different_handlers_spend_no_attempts_on_each_others_types(
    make_manager: Callable[..., JobManager],
) -> None:
    old = make_manager(handlers={"a": lambda job: "old"})
    new = make_manager(handlers={"a": lambda job: "new", "b": lambda job: "new"})
    with old, new:
        jobs = old.create_many([("a", None), ("b", None)] * 100)
        until(lambda: completed(old, len(jobs)))
        found = old.fetch_all(limit=200)
    assert {job.attempts for job in found} == {1}
    assert {job.result for job in found if job.type == "b"} == {"new"}
