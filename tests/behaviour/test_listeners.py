"""Listeners of a running manager: what each is told of, when, in which order, how often, and what a listener may do.

The registry and the dispatcher alone: tests/engine/events/.
"""

import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from steve import Attempt, AttemptStatus, Changed, InvalidJob, Job, JobManager, NotRunning, Snooze, Status
from steve._model.tuning import Tuning
from tests.conftest import until

FINAL = (Status.COMPLETED, Status.FAILED)
WARNED = "nothing is claimed until half are told"


def work(job: Job) -> object:
    """A handler that raises the error, or returns the result, that its payload names."""
    if "error" in job.payload:
        raise RuntimeError(job.payload["error"])
    return job.payload.get("result")


@pytest.fixture
def manager(make_manager: Callable[..., JobManager]) -> JobManager:
    """Not started. `work` does the types a and b."""
    manager = make_manager(handlers={"a": work, "b": work})
    manager.migrate()
    return manager


def settled(manager: JobManager, *jobs: Job) -> bool:
    return all(found is not None and found.status in FINAL for found in map(manager.find, jobs))


def count(manager: JobManager, status: Status) -> int:
    return len(manager.fetch_all(status, limit=10_000))


# -- what a listener is told of -----------------------------------------------------------------------------------------------


def test_each_kind_of_listener_is_told_of_the_events_of_its_kind(manager: JobManager) -> None:
    told: list[tuple[str, str, str]] = []
    manager.on_success(None, lambda job: told.append(("success", job.type, job.status)))
    manager.on_failure(None, lambda job: told.append(("failure", job.type, job.status)))
    manager.on_done(None, lambda job: told.append(("done", job.type, job.status)))
    manager.on_attempt(None, lambda job, attempt: told.append(("attempt", job.type, job.status)))
    with manager:
        good = manager.create("a", {"result": 1})
        bad = manager.create("b", {"error": "no"}, max_attempts=2, backoff_strategy="none")
        until(lambda: settled(manager, good, bad))
    assert Counter(told) == Counter(
        [
            ("attempt", "a", "running"),
            ("success", "a", "completed"),
            ("done", "a", "completed"),
            ("attempt", "a", "completed"),
            ("attempt", "b", "running"),
            ("attempt", "b", "pending"),
            ("attempt", "b", "running"),
            ("failure", "b", "failed"),
            ("done", "b", "failed"),
            ("attempt", "b", "failed"),
        ]
    )


@pytest.mark.parametrize("kind", ["on_success", "on_failure", "on_done", "on_attempt"])
def test_a_listener_is_told_of_its_types_only(manager: JobManager, kind: str) -> None:
    told: dict[str, list[str]] = {}
    expected = {
        "a": "a",
        "['a']": "a",
        "['a', 'b']": "ab",
        "('b',)": "b",
        "{'a'}": "a",
        "['none such']": "",
        "[]": "",
        "None": "ab",
    }

    def listen(name: str, types: Any) -> None:
        told[name] = []
        add = getattr(manager, kind)
        add(types, lambda job, attempt=None: told[name].append(job.type) if job.status in FINAL else None)

    for types in ("a", ["a"], ["a", "b"], ("b",), {"a"}, ["none such"], [], None):
        listen(str(types), types)
    with manager:
        payload = {"error": "no"} if kind == "on_failure" else {}
        jobs = manager.create_many([("a", payload), ("b", payload)], max_attempts=1)
        until(lambda: settled(manager, *jobs))
    assert {name: sorted(types) for name, types in told.items()} == {name: list(types) for name, types in expected.items()}


def test_the_decorators_return_the_function_that_they_register(manager: JobManager) -> None:
    told: list[Any] = []

    @manager.on_success("a")
    def success(job: Job) -> None:
        told.append(job.result)

    @manager.on_failure(["a"])
    def failure(job: Job) -> None:
        told.append(job.error)

    @manager.on_done(None)
    @manager.on_done("a")
    def done(job: Job) -> None:
        told.append(job.status)

    @manager.on_attempt("a")
    def attempt(job: Job, attempt: Attempt) -> None:
        told.append(attempt.status)

    assert [function.__name__ for function in (success, failure, done, attempt)] == ["success", "failure", "done", "attempt"]
    with manager:
        job = manager.create("a", {"result": 42})
        until(lambda: settled(manager, job))
    assert sorted(map(str, told)) == ["42", "completed", "completed", "running", "success"]


def test_the_same_function_may_listen_twice_and_each_is_removed_alone(manager: JobManager) -> None:
    told: list[UUID] = []
    callback = lambda job: told.append(job.uid)  # noqa: E731
    first, second = manager.on_done("a", callback), manager.on_done("a", callback)
    with manager:
        job = manager.create("a")
        until(lambda: told == [job.uid] * 2)
        first()
        first()  # a second call does nothing
        other = manager.create("a")
        until(lambda: settled(manager, other))
        until(lambda: other.uid in told)
        second()
        last = manager.create("a")
        until(lambda: settled(manager, last))
    assert told == [job.uid, job.uid, other.uid]


def test_leaving_the_with_block_removes_the_listener_also_after_an_exception(manager: JobManager) -> None:
    told: list[UUID] = []
    listen = lambda: manager.on_done("a", lambda job: told.append(job.uid))  # noqa: E731

    def fail_inside() -> None:
        with listen():
            raise ZeroDivisionError

    with manager:
        with listen():
            inside = manager.create("a")
            until(lambda: told)
        with pytest.raises(ZeroDivisionError):
            fail_inside()
        outside = manager.create("a")
        until(lambda: settled(manager, outside))
    assert told == [inside.uid]


@pytest.mark.parametrize(
    ("types", "callback", "error"),
    [
        ("a", 5, TypeError),
        ("a", "print", TypeError),
        (5, print, TypeError),
        (["a", 5], print, TypeError),
        (b"a", print, TypeError),
        ("", print, ValueError),
        ("a" * 256, print, ValueError),
        (["a", "with \x00"], print, ValueError),
        (" a", print, ValueError),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["on_success", "on_failure", "on_done", "on_attempt"])
def test_a_listener_that_could_never_be_told_is_refused(
    make_manager: Callable[..., JobManager], kind: str, types: Any, callback: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        getattr(make_manager(), kind)(types, callback)


# -- when, in which order, how often --------------------------------------------------------------------------------------


def test_listeners_get_the_job_after_the_commit_as_it_is_in_the_database(manager: JobManager) -> None:
    pairs: list[tuple[Job, Job | None]] = []
    manager.on_done(None, lambda job: pairs.append((job, manager.find(job))))
    with manager:
        good = [("a", {"result": {"n": n}}) for n in range(10)]
        bad = [("b", {"error": str(n)}) for n in range(10)]
        jobs = manager.create_many(good + bad, max_attempts=1)
        until(lambda: len(pairs) == len(jobs))
    for told, found in pairs:
        assert told == found
        assert (told.payload, told.result) == (found.payload, found.result)
    assert Counter(told.status for told, _ in pairs) == {Status.COMPLETED: 10, Status.FAILED: 10}


def test_listeners_learn_when_a_retry_is_due(manager: JobManager) -> None:
    pairs: list[tuple[Job, Job | None]] = []
    manager.on_attempt("b", lambda job, attempt: pairs.append((job, manager.find(job))) if job.status == "pending" else None)
    with manager:
        manager.create("b", {"error": "no"})
        until(lambda: pairs)
    told, found = pairs[0]
    assert told == found
    assert told.run_at - told.updated_at == timedelta(seconds=2)
    assert (told.error, told.attempts, told.claimed_at, told.completed_at) == ("RuntimeError: no", 1, None, None)


def test_listeners_are_told_of_each_job_once_in_the_order_of_the_commits(manager: JobManager) -> None:
    told: list[Job] = []
    manager.on_done("a", told.append)
    manager.start(workers=4)
    jobs = manager.create_many([("a", {"n": n}) for n in range(300)])
    jobs += [manager.create("a") for _ in range(100)]
    until(lambda: len(told) >= len(jobs))
    manager.stop()
    assert Counter(job.uid for job in told) == Counter(job.uid for job in jobs)
    # All jobs that one statement settled have the same updated_at, and those of a later statement a later one.
    assert [job.updated_at for job in told] == sorted(job.updated_at for job in told)


def test_each_beginning_and_each_end_of_an_attempt_is_told_once_in_order(manager: JobManager) -> None:
    told: dict[UUID, list[tuple[int, str]]] = {}
    manager.on_attempt("b", lambda job, attempt: told.setdefault(job.uid, []).append((attempt.number, job.status)))
    manager.start(workers=4)
    jobs = manager.create_many([("b", {"error": "no"})] * 50, max_attempts=4, backoff_strategy="none")
    until(lambda: count(manager, Status.FAILED) == len(jobs))
    manager.stop()
    assert told.keys() == {job.uid for job in jobs}
    for attempts in told.values():
        assert [attempt for attempt in attempts if attempt[1] == "running"] == [(n, "running") for n in range(1, 5)]
        ends = [(1, "pending"), (2, "pending"), (3, "pending"), (4, "failed")]
        assert [attempt for attempt in attempts if attempt[1] != "running"] == ends


NOTICE_RETRIES = """
create function {schema}.notice() returns trigger language plpgsql as $$ begin raise info 'a retry'; return null; end $$;
create trigger notice after update on {schema}.job for each row
  when (old.status = 'running' and new.status = 'pending') execute function {schema}.notice();
"""
"""A settlement that makes a job pending again sends a notice before its reply."""


def test_the_end_of_an_attempt_is_told_before_the_beginning_of_the_next(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    """Also if a worker has claimed the job again before the settler has read that the earlier attempt is committed."""
    again = threading.Event()
    told: list[tuple[int, str]] = []

    def second_time_lucky(job: Job) -> None:
        if job.attempts == 1:
            raise RuntimeError("once")
        again.set()

    def read_late(connection: psycopg.Connection) -> None:
        """The thread that receives the notice goes on when the second attempt has begun."""
        connection.add_notice_handler(lambda notice: again.wait(60) if notice.message_primary == "a retry" else None)

    make_manager().migrate()
    conn.execute(NOTICE_RETRIES.format(schema=schema))
    with ConnectionPool(database_url, min_size=0, max_size=5, configure=read_late) as pool:
        manager = make_manager(pool, handlers={"a": second_time_lucky}, poll_interval=0.05)
        manager.on_attempt("a", lambda job, attempt: told.append((attempt.number, job.status)))
        with manager:
            manager.create("a", backoff_strategy="none")
            until(lambda: len(told) == 4)
    assert told == [(1, "running"), (1, "pending"), (2, "running"), (2, "completed")]


def test_listeners_are_told_of_the_attempts_that_the_history_shows(manager: JobManager) -> None:
    told: list[Attempt] = []
    manager.on_attempt(None, lambda job, attempt: told.append(attempt))
    with manager:
        job = manager.create("b", {"error": "no"}, max_attempts=2, backoff_strategy="none")
        until(lambda: settled(manager, job))
    running, ended = told[::2], told[1::2]
    assert ended == manager.history(job)
    assert [attempt.number for attempt in ended] == [1, 2]
    for begun, attempt in zip(running, ended, strict=True):
        assert begun.status is AttemptStatus.RUNNING
        assert (begun.completed_at, begun.error_message, begun.error_details) == (None, None, None)
        assert (begun.job_uid, begun.number, begun.process) == (attempt.job_uid, attempt.number, attempt.process)
        assert attempt.status is AttemptStatus.ERROR
        assert attempt.error_message == "RuntimeError: no"
        assert attempt.error_details is not None
        assert 'raise RuntimeError(job.payload["error"])' in attempt.error_details
        assert begun.started_at <= attempt.started_at <= attempt.completed_at  # type: ignore[operator]
        assert attempt.started_at.tzinfo is UTC


def test_a_snooze_is_not_told_as_the_end_of_an_attempt(manager: JobManager) -> None:
    told: list[str] = []
    manager.on_attempt("a", lambda job, attempt: told.append(job.status))
    manager.on_done("a", lambda job: told.append("done"))
    slept = threading.Event()

    def once(job: Job) -> None:
        if not slept.is_set():
            slept.set()
            raise Snooze(0)

    manager.set_handler("a", once)
    with manager:
        job = manager.create("a")
        until(lambda: settled(manager, job))
    assert sorted(told) == ["completed", "done", "running", "running"]


def test_stop_returns_after_listeners_were_told_of_all_that_was_settled(manager: JobManager) -> None:
    told: list[UUID] = []

    def slow(job: Job) -> None:
        time.sleep(0.005)
        told.append(job.uid)

    manager.on_done("a", slow)
    jobs = manager.create_many([("a", None)] * 40)
    manager.start()
    until(lambda: count(manager, Status.COMPLETED) == 40)
    report = manager.stop()
    assert report.complete
    assert report.untold == 0
    assert sorted(told) == [job.uid for job in jobs]


# -- raising and slow listeners -------------------------------------------------------------------------------------------


class Rude(BaseException):
    """It is no Exception, and has no text that can be logged."""

    def __str__(self) -> str:
        raise RuntimeError("no text either")


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, Rude])
def test_a_raising_listener_harms_no_job_no_other_listener_and_not_the_manager(
    manager: JobManager, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    told: list[UUID] = []

    def raising(job: Job, attempt: Attempt | None = None) -> None:
        raise error

    for kind in (manager.on_success, manager.on_done, manager.on_attempt):
        kind("a", raising)
    manager.on_done("a", lambda job: told.append(job.uid))
    with manager:
        jobs = manager.create_many([("a", None)] * 99)
        jobs.append(manager.create("a", on_done=raising))
        until(lambda: len(told) == 100)
        assert [job.status for job in manager.fetch_all(limit=200)] == [Status.COMPLETED] * 100
        assert all(len(manager.history(job)) == 1 for job in jobs[::20])
    assert sorted(told) == [job.uid for job in jobs]
    complaints = [record for record in caplog.records if "a listener raised" in record.message]
    assert len(complaints) == 401  # two at each end, one at the beginning, one at the end of each attempt, and on_done=
    assert {record.job_uid for record in complaints} == {str(job.uid) for job in jobs}  # type: ignore[attr-defined]
    assert "raising" in complaints[0].message
    assert complaints[0].exc_info


def test_a_slow_listener_delays_the_others_but_not_the_settling(manager: JobManager, gate: threading.Event) -> None:
    told: list[UUID] = []
    manager.on_done("a", lambda job: gate.wait(100))
    manager.on_done("a", lambda job: told.append(job.uid))
    manager.start()
    jobs = manager.create_many([("a", None)] * 50)
    until(lambda: count(manager, Status.COMPLETED) == 50)
    assert told == []
    gate.set()
    until(lambda: len(told) == 50)
    assert sorted(told) == [job.uid for job in jobs]


FEW = Tuning(events_most=50, claim_most=10, unsettled_most=20, health_check=3600.0)
"""Fifty events are too many, and a claim brings ten jobs at most. With one worker, and no health watch that looks at the queue
of events too, no claim is under way when the warning comes."""


def test_while_too_many_events_wait_nothing_is_claimed_until_half_are_told(
    make_manager: Callable[..., JobManager], caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(handlers={"a": work}, _tuning=FEW)
    manager.migrate()
    allowed = threading.Semaphore(0)
    told: list[UUID] = []

    def slow(job: Job) -> None:
        allowed.acquire(timeout=100)
        told.append(job.uid)

    manager.on_done("a", slow)
    jobs = manager.create_many([("a", None)] * 300)
    manager.start(workers=1)
    try:
        until(lambda: WARNED in caplog.text)
        until(lambda: not count(manager, Status.RUNNING))
        completed, waiting = count(manager, Status.COMPLETED), count(manager, Status.PENDING)
        assert completed > 50
        assert completed + waiting == 300
        assert 150 < waiting < 250, "claiming went on"
        allowed.release(completed - 28)  # of the other 28 events, the listener has one and 27 wait: more than half of 50
        until(lambda: len(told) == completed - 28)
        assert count(manager, Status.PENDING) == waiting, "claiming went on before half were told"
        assert caplog.text.count(WARNED) == 1
    finally:
        allowed.release(1000)
    until(lambda: len(told) == 300)
    assert sorted(told) == [job.uid for job in jobs]


def test_a_call_that_cancels_many_jobs_waits_for_slow_listeners_but_not_for_itself_or_a_stop(
    make_manager: Callable[..., JobManager],
) -> None:
    manager = make_manager(handlers={"never": work}, queues=["none"], _tuning=replace(FEW, bulk_most=10))
    manager.migrate()
    allowed = threading.Semaphore(0)
    is_over = threading.Event()
    done: list[int] = []
    told: list[str] = []

    def slow(job: Job) -> None:
        if job.type == "first":  # this thread would wait for itself
            told.append(str(manager.cancel_all(type="second").done))
        while not is_over.is_set() and not allowed.acquire(timeout=0.1):
            pass
        told.append(job.type)

    manager.on_done(None, slow)
    manager.create_many([("a", None)] * 300 + [("b", None)] * 300 + [("first", None)] + [("second", None)] * 100)
    manager.start(workers=1)
    with ThreadPoolExecutor(1) as thread:
        try:
            call = thread.submit(manager.cancel_all, type="a", progress=done.append)
            until(lambda: done and done[-1] >= 50)
            assert not wait([call], 0.3).done
            assert done[-1] <= 60, "it went on while 50 events waited"
            allowed.release(300)
            assert call.result(100) == Changed(300, 0)
            until(lambda: told.count("a") == 300)
            (first,) = manager.fetch_all(type="first")
            manager.cancel(first)
            until(lambda: told[300:] == ["100"])
            call = thread.submit(manager.cancel_all, type="b")
            assert not wait([call], 0.3).done
            manager.stop(timeout=0)
            assert call.result(100) == Changed(300, 0)
        finally:
            is_over.set()


def test_the_warning_of_too_many_events_comes_also_while_one_listener_hangs(
    make_manager: Callable[..., JobManager], gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(handlers={"a": work}, _tuning=FEW)
    manager.migrate()
    manager.on_done("a", lambda job: gate.wait(100))
    manager.create_many([("a", None)] * 100)
    manager.start()
    until(lambda: WARNED in caplog.text)
    assert count(manager, Status.COMPLETED) > 50
    gate.set()


# -- what a listener may do -----------------------------------------------------------------------------------------------


def test_each_listener_gets_a_payload_and_a_result_of_its_own(manager: JobManager) -> None:
    told: list[Job] = []

    def spoiling(job: Job, attempt: Attempt | None = None) -> None:
        told.append(job)
        if job.status == "completed":
            job.payload.clear()
            job.result["list"].append("spoilt")

    given: list[Job] = []

    def handler(job: Job) -> Any:
        given.append(job)
        result = dict(job.payload["result"])
        job.payload.clear()
        return result

    manager.set_handler("a", handler)
    for kind in (manager.on_success, manager.on_done, manager.on_attempt):
        kind("a", spoiling)
    manager.on_done("a", told.append)
    with manager:
        job = manager.create("a", {"result": {"list": [1]}}, on_done=told.append)
        until(lambda: len(told) == 6)
    found = manager.find(job)
    assert found is not None
    assert (found.payload, found.result) == ({"result": {"list": [1]}}, {"list": [1]})
    assert len({id(job.payload) for job in [*told, *given]}) == 7
    untouched = [job for job in told if job.payload and job.result is not None]
    assert [(job.payload, job.result) for job in untouched] == [(found.payload, found.result)] * 2


def test_a_listener_may_create_and_find_jobs(manager: JobManager) -> None:
    chain: list[int] = []

    @manager.on_success("a")
    def next(job: Job) -> None:
        found = manager.find(job)
        assert found is not None
        chain.append(found.result)
        if found.result < 5:
            manager.create("a", {"result": found.result + 1}, on_done=lambda job: chain.append(-job.result))

    with manager:
        manager.create("a", {"result": 1})
        until(lambda: len(chain) == 9)
    assert chain == [1, 2, -2, 3, -3, 4, -4, 5, -5]


def test_a_listener_may_add_and_remove_listeners_itself_included(manager: JobManager) -> None:
    told: list[str] = []
    removals: dict[str, Callable[[], None]] = {}

    def first(job: Job) -> None:
        told.append("first")
        removals["first"]()
        removals["second"]()  # the one that would be told next
        removals["third"] = manager.on_done("a", lambda job: told.append("third"))

    removals["first"] = manager.on_done("a", first)
    removals["second"] = manager.on_done("a", lambda job: told.append("second"))
    with manager:
        for _ in range(3):
            job = manager.create("a")
            until(lambda job=job: settled(manager, job))
    assert told == ["first", "third", "third"]


@pytest.mark.parametrize("call", ["request_stop", "stop"])
def test_a_listener_may_ask_the_manager_to_stop(manager: JobManager, call: str) -> None:
    answers: list[Any] = []

    @manager.on_done("a")
    def finish(job: Job) -> None:
        answers.append(getattr(manager, call)())

    manager.start()
    job = manager.create("a")
    until(lambda: answers)
    assert manager.stop(timeout=60).complete
    assert settled(manager, job)
    if call == "stop":
        assert answers[0].complete is False


def test_sixteen_threads_add_and_remove_listeners_while_jobs_run(manager: JobManager) -> None:
    told: list[UUID] = []
    elsewhere: list[UUID] = []
    manager.on_done("a", lambda job: told.append(job.uid))
    enough = threading.Event()
    errors: list[BaseException] = []
    rounds = Counter[int]()

    def churn(number: int) -> None:
        try:
            while not enough.is_set():
                with manager.on_attempt(None, lambda job, attempt: elsewhere.append(job.uid)):
                    remove = manager.on_done(["a", "b"], lambda job: elsewhere.append(job.uid))
                    rounds[number] += 1
                remove()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(16)]
    with manager:
        try:
            for thread in threads:
                thread.start()
            jobs = [manager.create("a") for _ in range(50)] + manager.create_many([("a", None)] * 200)
            until(lambda: len(told) >= 250 and len(rounds) == 16, timeout=90)
        finally:
            enough.set()
            for thread in threads:
                thread.join()
        jobs.append(manager.create("a"))
        until(lambda: len(told) == 251)
    assert errors == []
    assert sorted(told) == [job.uid for job in jobs]
    assert jobs[-1].uid not in elsewhere, "a listener that was removed is still told"


# -- on_done= of create ---------------------------------------------------------------------------------------------------


def on_done_for(told: list[Job]) -> Callable[[Job], None]:
    """A new function, which appends to `told`."""
    return lambda job: told.append(job)


def is_forgotten(callback: weakref.ref[Callable[[Job], None]]) -> bool:
    """Whether nothing refers to the function any more."""
    gc.collect()
    return callback() is None


def test_on_done_is_told_once_of_its_own_job_and_then_forgotten(manager: JobManager) -> None:
    told: list[Job] = []
    callback = on_done_for(told)
    reference = weakref.ref(callback)
    with manager:
        good = manager.create("a", {"result": 1}, on_done=callback)
        bad = manager.create("b", {"error": "no"}, max_attempts=3, backoff_strategy="none", on_done=callback)
        del callback
        other = manager.create("a")
        until(lambda: settled(manager, good, bad, other) and len(told) == 2)
        until(lambda: is_forgotten(reference))
    assert sorted((job.uid, job.status, job.attempts) for job in told) == [(good.uid, "completed", 1), (bad.uid, "failed", 3)]
    assert {job.uid: job for job in told} == {job.uid: manager.find(job) for job in (good, bad)}


def test_on_done_is_told_also_of_jobs_that_finish_before_create_returns(manager: JobManager) -> None:
    told: list[Job] = []
    callback = on_done_for(told)
    reference = weakref.ref(callback)
    with manager:
        jobs = [manager.create("a", on_done=callback) for _ in range(200)]
        del callback
        until(lambda: len(told) == 200)
        until(lambda: is_forgotten(reference))
    assert sorted(job.uid for job in told) == [job.uid for job in jobs]


def test_on_done_is_forgotten_when_the_insert_fails(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    conn.execute(f"alter table {schema}.job add check (payload <> '{{\"refused\": true}}')")
    callback = on_done_for([])
    reference = weakref.ref(callback)
    with manager:
        with pytest.raises(InvalidJob):
            manager.create("a", {"refused": True}, on_done=callback)
        with pytest.raises(InvalidJob):
            manager.create("a", {"a set": {1}}, on_done=callback)
        del callback
        until(lambda: is_forgotten(reference))


def test_on_done_is_forgotten_at_stop(manager: JobManager) -> None:
    told: list[Job] = []
    callback = on_done_for(told)
    reference = weakref.ref(callback)
    manager.start()
    job = manager.create("a", run_at=datetime.now(UTC) + timedelta(hours=1), on_done=callback)
    del callback
    assert not is_forgotten(reference)
    manager.stop()
    until(lambda: is_forgotten(reference))
    with manager.on_done("a", lambda job: told.append(job)), manager:
        manager.create("a", {"result": "another"})
        until(lambda: told)
    assert [other.result for other in told] == ["another"]
    assert manager.find(job) == job


def test_on_done_that_would_not_be_told_is_refused_and_forgotten(manager: JobManager, conn: psycopg.Connection) -> None:
    callback = on_done_for([])
    reference = weakref.ref(callback)
    with pytest.raises(NotRunning, match="not started"):
        manager.create("a", on_done=callback)
    manager.start()
    with pytest.raises(NotRunning, match="no handler for 'c'"):
        manager.create("c", on_done=callback)
    with pytest.raises(TypeError, match="do not go together"):
        manager.create("a", on_done=callback, connection=conn)
    with pytest.raises(TypeError, match="callable, not int"):
        manager.create("a", on_done=5)  # type: ignore[arg-type]
    manager.request_stop()
    with pytest.raises(NotRunning, match="not started"):
        manager.create("a", on_done=callback)
    manager.stop()
    with pytest.raises(NotRunning, match="not started"):
        manager.create("a", on_done=callback)
    assert manager.fetch_all() == []
    del callback
    until(lambda: is_forgotten(reference))


def test_on_done_is_told_if_the_fallback_handler_does_the_type(make_manager: Callable[..., JobManager]) -> None:
    told: list[Any] = []
    with make_manager(handler=work) as manager:
        manager.create("anything", {"result": 7}, on_done=lambda job: told.append(job.result))
        until(lambda: told)
    assert told == [7]
