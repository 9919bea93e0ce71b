"""Listeners of a running manager: who is told of what, when, in which order, how often, and what a listener may do.

The registry and the dispatcher alone: tests/rooms/test_listeners.py.
"""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from steve import Attempt, AttemptStatus, InvalidJob, Job, JobManager, NotRunning, Snooze, Status
from tests.conftest import until

FINAL = (Status.COMPLETED, Status.FAILED)
WARNED = "nothing is claimed until half are told"


def work(job: Job) -> object:
    """Does what its payload says."""
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


# -- who is told of what --------------------------------------------------------------------------------------------------


def test_each_kind_of_listener_is_told_of_what_it_is_for(manager: JobManager) -> None:
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


def test_without_a_callback_it_is_a_decorator_that_leaves_the_function_as_it_is(manager: JobManager) -> None:
    told: list[Any] = []

    @manager.on_success("a")
    def success(job: Job) -> None:
        told.append(job.result)

    @manager.on_failure(["a"])
    def failure(job: Job) -> None:
        told.append(job.error)

    @manager.on_done(None)
    @manager.on_done("a")  # on top of one another
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
    told: list[int] = []
    callback = lambda job: told.append(job.id)  # noqa: E731
    first, second = manager.on_done("a", callback), manager.on_done("a", callback)
    with manager:
        job = manager.create("a")
        until(lambda: told == [job.id] * 2)
        first()
        first()  # once more is harmless
        other = manager.create("a")
        until(lambda: settled(manager, other))
        until(lambda: other.id in told)
        second()
        last = manager.create("a")
        until(lambda: settled(manager, last))
    assert told == [job.id, job.id, other.id]


def test_leaving_the_with_block_removes_the_listener_also_by_an_exception(manager: JobManager) -> None:
    told: list[int] = []
    listen = lambda: manager.on_done("a", lambda job: told.append(job.id))  # noqa: E731

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
    assert told == [inside.id]


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


def test_a_job_is_told_after_the_commit_as_the_database_has_it(manager: JobManager) -> None:
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


def test_a_retry_is_told_with_the_time_it_is_due(manager: JobManager) -> None:
    pairs: list[tuple[Job, Job | None]] = []
    manager.on_attempt("b", lambda job, attempt: pairs.append((job, manager.find(job))) if job.status == "pending" else None)
    with manager:
        manager.create("b", {"error": "no"})
        until(lambda: pairs)
    told, found = pairs[0]
    assert told == found
    assert told.run_at - told.updated_at == timedelta(seconds=2)
    assert (told.error, told.attempts, told.claimed_at, told.completed_at) == ("RuntimeError: no", 1, None, None)


def test_all_jobs_are_told_once_each_in_the_order_of_the_commits(manager: JobManager) -> None:
    told: list[Job] = []
    manager.on_done("a", told.append)
    manager.start(workers=4)
    jobs = manager.create_many([("a", {"n": n}) for n in range(300)])
    jobs += [manager.create("a") for _ in range(100)]
    until(lambda: len(told) >= len(jobs))
    manager.stop()
    assert Counter(job.id for job in told) == Counter(job.id for job in jobs)
    # What one statement settled shares its instant; every later one has a later instant.
    assert [job.updated_at for job in told] == sorted(job.updated_at for job in told)


def test_the_attempts_of_a_job_are_told_in_order_each_beginning_and_each_end_once(manager: JobManager) -> None:
    told: dict[int, list[tuple[int, str]]] = {}
    manager.on_attempt("b", lambda job, attempt: told.setdefault(job.id, []).append((attempt.number, job.status)))
    manager.start(workers=4)
    jobs = manager.create_many([("b", {"error": "no"})] * 50, max_attempts=4, backoff_strategy="none")
    until(lambda: count(manager, Status.FAILED) == len(jobs))
    manager.stop()
    assert told.keys() == {job.id for job in jobs}
    for attempts in told.values():
        assert [attempt for attempt in attempts if attempt[1] == "running"] == [(n, "running") for n in range(1, 5)]
        ends = [(1, "pending"), (2, "pending"), (3, "pending"), (4, "failed")]
        assert [attempt for attempt in attempts if attempt[1] != "running"] == ends


def test_the_end_of_an_attempt_is_told_before_the_beginning_of_the_next(
    make_manager: Callable[..., JobManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a worker has the job again before the settler has heard that the attempt before is committed."""
    again = threading.Event()
    told: list[tuple[int, str]] = []

    def second_time_lucky(job: Job) -> None:
        if job.attempts == 1:
            raise RuntimeError("once")
        again.set()

    manager = make_manager(handlers={"a": second_time_lucky}, poll_interval=0.05)
    manager.on_attempt("a", lambda job, attempt: told.append((attempt.number, job.status)))
    settle = manager._store.settle_jobs

    def settle_and_hear_late(*arguments: Any) -> Any:
        answer = settle(*arguments)
        again.wait(5)
        return answer

    monkeypatch.setattr(manager._store, "settle_jobs", settle_and_hear_late)
    with manager:
        manager.create("a", backoff_strategy="none")
        until(lambda: len(told) == 4)
    assert told == [(1, "running"), (1, "pending"), (2, "running"), (2, "completed")]


def test_the_attempts_told_are_those_of_the_history(manager: JobManager) -> None:
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
        assert (begun.job_id, begun.number, begun.process) == (attempt.job_id, attempt.number, attempt.process)
        assert attempt.status is AttemptStatus.ERROR
        assert attempt.error_message == "RuntimeError: no"
        assert attempt.error_details is not None
        assert 'raise RuntimeError(job.payload["error"])' in attempt.error_details
        assert begun.started_at <= attempt.started_at <= attempt.completed_at  # type: ignore[operator]
        assert attempt.started_at.tzinfo is UTC


def test_a_snooze_is_the_end_of_no_attempt(manager: JobManager) -> None:
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


def test_what_was_settled_before_the_end_is_told_before_stop_returns(manager: JobManager) -> None:
    told: list[int] = []

    def slow(job: Job) -> None:
        threading.Event().wait(0.005)
        told.append(job.id)

    manager.on_done("a", slow)
    jobs = manager.create_many([("a", None)] * 40)
    manager.start()
    until(lambda: count(manager, Status.COMPLETED) == 40)
    report = manager.stop()
    assert report.complete
    assert report.untold == 0
    assert sorted(told) == [job.id for job in jobs]


# -- raising and slow listeners -------------------------------------------------------------------------------------------


class Rude(BaseException):
    """Neither an Exception nor readable."""

    def __str__(self) -> str:
        raise RuntimeError("no text either")


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, Rude])
def test_a_raising_listener_harms_neither_the_jobs_nor_its_neighbours_nor_the_manager(
    manager: JobManager, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    told: list[int] = []

    def raising(job: Job, attempt: Attempt | None = None) -> None:
        raise error

    for kind in (manager.on_success, manager.on_done, manager.on_attempt):
        kind("a", raising)
    manager.on_done("a", lambda job: told.append(job.id))
    with manager:
        jobs = manager.create_many([("a", None)] * 99)
        jobs.append(manager.create("a", on_done=raising))
        until(lambda: len(told) == 100)
        assert [job.status for job in manager.fetch_all(limit=200)] == [Status.COMPLETED] * 100
        assert all(len(manager.history(job)) == 1 for job in jobs[::20])
    assert sorted(told) == [job.id for job in jobs]
    complaints = [record for record in caplog.records if "a listener raised" in record.message]
    assert len(complaints) == 401  # two at each end, one at the beginning, one at the end of each attempt, and on_done=
    assert {record.job_uid for record in complaints} == {str(job.uid) for job in jobs}  # type: ignore[attr-defined]
    assert "raising" in complaints[0].message
    assert complaints[0].exc_info


def test_a_slow_listener_delays_the_others_but_not_the_settling(manager: JobManager, gate: threading.Event) -> None:
    told: list[int] = []
    manager.on_done("a", lambda job: gate.wait(30))
    manager.on_done("a", lambda job: told.append(job.id))
    manager.start()
    jobs = manager.create_many([("a", None)] * 50)
    until(lambda: count(manager, Status.COMPLETED) == 50)
    assert told == []
    gate.set()
    until(lambda: len(told) == 50)
    assert sorted(told) == [job.id for job in jobs]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty events are as many as ten thousand, and ten jobs a large claim."""
    monkeypatch.setattr("steve._engine.events.listeners.EVENTS_MOST", 50)
    monkeypatch.setattr("steve._engine.claim.sizer.HAND_MOST", 10)


@pytest.mark.usefixtures("small")
def test_with_too_many_events_waiting_claiming_stops_with_one_warning_and_goes_on_when_half_are_told(
    manager: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    allowed = threading.Semaphore(0)
    told: list[int] = []

    def slow(job: Job) -> None:
        allowed.acquire(timeout=30)
        told.append(job.id)

    manager.on_done("a", slow)
    jobs = manager.create_many([("a", None)] * 300)
    manager.start()
    try:
        until(lambda: count(manager, Status.COMPLETED) > 50 and not count(manager, Status.RUNNING))
        allowed.release()
        until(lambda: WARNED in caplog.text)
        waiting = count(manager, Status.PENDING)
        assert 150 < waiting < 250, "claiming went on"
        allowed.release(10)
        until(lambda: len(told) == 11)
        assert count(manager, Status.PENDING) == waiting, "claiming went on before half were told"
        assert caplog.text.count(WARNED) == 1
    finally:
        allowed.release(1000)
    until(lambda: len(told) == 300)
    assert sorted(told) == [job.id for job in jobs]


@pytest.mark.usefixtures("small")
def test_the_warning_comes_also_while_one_listener_never_returns(
    manager: JobManager, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    manager.on_done("a", lambda job: gate.wait(30))
    manager.create_many([("a", None)] * 100)
    manager.start()
    until(lambda: count(manager, Status.COMPLETED) > 50 and not count(manager, Status.RUNNING))
    until(lambda: WARNED in caplog.text, timeout=3)


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
        removals["second"]()  # which would come next
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
    assert manager.stop(timeout=20).complete
    assert settled(manager, job)
    if call == "stop":
        assert answers[0].complete is False


def test_listeners_come_and_go_from_sixteen_threads_while_jobs_run(manager: JobManager) -> None:
    told: list[int] = []
    elsewhere: list[int] = []
    manager.on_done("a", lambda job: told.append(job.id))
    enough = threading.Event()
    errors: list[BaseException] = []
    rounds = Counter[int]()

    def churn(number: int) -> None:
        try:
            while not enough.is_set():
                with manager.on_attempt(None, lambda job, attempt: elsewhere.append(job.id)):
                    remove = manager.on_done(["a", "b"], lambda job: elsewhere.append(job.id))
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
            until(lambda: len(told) >= 250 and len(rounds) == 16, timeout=30)
        finally:
            enough.set()
            for thread in threads:
                thread.join()
    assert errors == []
    assert sorted(told) == [job.id for job in jobs]
    assert len(manager._listeners._entries) == 1  # the one that stayed


# -- on_done= of create ---------------------------------------------------------------------------------------------------


def test_on_done_is_told_once_of_the_job_it_was_given_with_and_forgotten(manager: JobManager) -> None:
    told: list[Job] = []
    with manager:
        good = manager.create("a", {"result": 1}, on_done=told.append)
        bad = manager.create("b", {"error": "no"}, max_attempts=3, backoff_strategy="none", on_done=told.append)
        other = manager.create("a")
        until(lambda: settled(manager, good, bad, other) and len(told) == 2)
        until(lambda: not manager._listeners._once)
    assert sorted((job.id, job.status, job.attempts) for job in told) == [(good.id, "completed", 1), (bad.id, "failed", 3)]
    assert {job.id: job for job in told} == {job.id: manager.find(job) for job in (good, bad)}


def test_on_done_is_told_also_of_jobs_that_finish_before_create_returns(manager: JobManager) -> None:
    told: list[int] = []
    with manager:
        jobs = [manager.create("a", on_done=lambda job: told.append(job.id)) for _ in range(200)]
        until(lambda: len(told) == 200)
        assert not manager._listeners._once
    assert sorted(told) == [job.id for job in jobs]


def test_on_done_is_dropped_when_the_insert_fails(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    conn.execute(f"alter table {schema}.job add check (payload <> '{{\"refused\": true}}')")
    with manager:
        with pytest.raises(InvalidJob):
            manager.create("a", {"refused": True}, on_done=print)
        with pytest.raises(InvalidJob):
            manager.create("a", {"a set": {1}}, on_done=print)
        assert not manager._listeners._once


def test_on_done_is_dropped_at_stop(manager: JobManager) -> None:
    told: list[Job] = []
    manager.start()
    job = manager.create("a", run_at=datetime.now(UTC) + timedelta(seconds=60), on_done=told.append)
    manager.stop()
    assert not manager._listeners._once
    with manager.on_done("a", lambda job: told.append(job)), manager:
        manager.create("a", {"result": "another"})
        until(lambda: told)
    assert [other.result for other in told] == ["another"]
    assert manager.find(job) == job


def test_on_done_is_refused_where_it_could_not_be_told(manager: JobManager, conn: psycopg.Connection) -> None:
    with pytest.raises(NotRunning, match="not started"):
        manager.create("a", on_done=print)
    manager.start()
    with pytest.raises(NotRunning, match="no handler for 'c'"):
        manager.create("c", on_done=print)
    with pytest.raises(TypeError, match="do not go together"):
        manager.create("a", on_done=print, connection=conn)
    with pytest.raises(TypeError, match="callable, not int"):
        manager.create("a", on_done=5)  # type: ignore[arg-type]
    manager.request_stop()
    with pytest.raises(NotRunning, match="not started"):
        manager.create("a", on_done=print)
    manager.stop()
    with pytest.raises(NotRunning, match="not started"):
        manager.create("a", on_done=print)
    assert manager.fetch_all() == []
    assert not manager._listeners._once


def test_on_done_is_taken_where_the_fallback_does_the_type(make_manager: Callable[..., JobManager]) -> None:
    told: list[Any] = []
    with make_manager(handler=work) as manager:
        manager.create("anything", {"result": 7}, on_done=lambda job: told.append(job.result))
        until(lambda: told)
    assert told == [7]
