"""Hooks: context managers around handlers, listeners, calls of create, and threads."""

import contextlib
import contextvars
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steve import Creation, InvalidJob, Job, JobManager, NewJob, Run, Snooze, current_run
from tests.conftest import until


def ended(manager: JobManager, job: Job) -> Job:
    return until(lambda: found if (found := manager.find(job)) and found.status in ("completed", "failed") else None)


def run(manager: JobManager, type: str = "a", **keywords: Any) -> Job:
    """Create a job, start the manager and wait for the job's end."""
    job = manager.create(type, **keywords)
    manager.start(1)
    return ended(manager, job)


class Noting:
    """A hook that notes when its context is entered and left, and with which error."""

    def __init__(self, name: str, notes: list[str], *, swallows: bool = False) -> None:
        self._name = name
        self._notes = notes
        self._swallows = swallows

    def __call__(self, *arguments: object) -> "Noting":
        return self

    def __enter__(self) -> None:
        self._notes.append(f"{self._name} in")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        self._notes.append(f"{self._name} out" + (f" {kind.__name__}" if kind else ""))
        return self._swallows


# -- around handlers --------------------------------------------------------------------------------------------------------


def test_hooks_are_entered_in_the_order_of_registration_and_left_in_the_reverse(manager: JobManager) -> None:
    notes: list[str] = []
    manager.around(Noting("outer", notes))
    manager.around(Noting("inner", notes))
    manager.set_handler("a", lambda job: notes.append("handler"))
    assert run(manager).status == "completed"
    assert notes == ["outer in", "inner in", "handler", "inner out", "outer out"]


def test_a_hook_may_be_a_generator_function_and_gets_the_run(manager: JobManager) -> None:
    seen: list[Any] = []

    def hook(run: Run) -> Iterator[None]:
        seen.append((run.job.type, run is current_run(), threading.current_thread()))
        yield
        seen.append("left")

    manager.around(hook)
    manager.set_handler("a", lambda job: seen.append(threading.current_thread()))
    run(manager)
    (type, is_current, thread), handler_thread, left = seen
    assert (type, is_current, left) == ("a", True, "left")
    assert thread is handler_thread


def test_the_handler_sees_what_a_hook_sets_in_a_context_variable_and_the_next_one_does_not(manager: JobManager) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def handler(job: Job) -> None:
        seen.append(variable.get())
        variable.set("of the handler")

    def hook(run: Run) -> Iterator[None]:
        assert variable.get() == "unset"
        token = variable.set("of the hook")
        yield
        assert variable.get() == "of the handler"
        variable.reset(token)

    manager.around(hook)
    manager.set_handler("a", handler)
    with manager:
        for job in manager.create_many([("a", {})] * 2):
            assert ended(manager, job).status == "completed"
    assert seen == ["of the hook", "of the hook"]


@pytest.mark.parametrize("swallows", [False, True])
def test_a_hook_sees_what_the_handler_raised_and_cannot_swallow_it(manager: JobManager, swallows: bool) -> None:
    notes: list[str] = []
    manager.around(Noting("outer", notes))
    manager.around(Noting("inner", notes, swallows=swallows))

    def handler(job: Job) -> None:
        raise LookupError("no such order")

    manager.set_handler("a", handler)
    job = run(manager, max_attempts=1)
    assert (job.status, job.error) == ("failed", "LookupError: no such order")
    assert notes == ["outer in", "inner in", "inner out LookupError", "outer out LookupError"]


def test_a_generator_that_swallows_changes_nothing(manager: JobManager) -> None:
    def hook(run: Run) -> Iterator[None]:
        with contextlib.suppress(BaseException):
            yield

    def handler(job: Job) -> None:
        raise LookupError

    manager.around(hook)
    manager.set_handler("a", handler)
    assert run(manager, max_attempts=1).error == "LookupError"


def test_the_traceback_of_an_error_begins_in_the_handler_with_hooks_as_without(manager: JobManager) -> None:
    def handler(job: Job) -> None:
        raise LookupError

    manager.around(lambda run: contextlib.nullcontext())
    manager.around(Noting("noting", []))
    manager.set_handler("a", handler)
    (attempt,) = manager.history(run(manager, max_attempts=1))
    assert attempt.error_details is not None
    first, *_ = [line for line in attempt.error_details.splitlines() if line.lstrip().startswith("File")]
    assert first.endswith("in handler")
    assert attempt.error_details.count("File") == 1


def raising_on_the_way_in(error: BaseException) -> Callable[[Run], Iterator[None]]:
    def hook(run: Run) -> Iterator[None]:
        raise error
        yield

    return hook


def raising_on_the_way_out(error: BaseException) -> Callable[[Run], Iterator[None]]:
    def hook(run: Run) -> Iterator[None]:
        yield
        raise error

    return hook


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt("no"), SystemExit("no"), GeneratorExit("no")])
@pytest.mark.parametrize(("raising", "called"), [(raising_on_the_way_in, 0), (raising_on_the_way_out, 1)])
def test_a_hook_that_raises_fails_the_attempt(
    manager: JobManager, raising: Callable[..., Any], called: int, error: BaseException
) -> None:
    notes: list[str] = []
    calls: list[Job] = []
    manager.around(Noting("outer", notes))
    manager.around(raising(error))
    manager.set_handler("a", calls.append)
    job = run(manager, max_attempts=1)
    assert (job.status, job.error) == ("failed", f"{type(error).__name__}: no")
    assert len(calls) == called
    assert notes == ["outer in", f"outer out {type(error).__name__}"]
    (attempt,) = manager.history(job)
    assert attempt.error_details is not None
    assert "in hook" in attempt.error_details.splitlines()[1], "the traceback begins in the hook"


def test_an_attempt_that_a_hook_fails_is_tried_again(manager: JobManager) -> None:
    failures = iter([True, False])

    def hook(run: Run) -> Iterator[None]:
        if next(failures):
            raise ValueError
        yield

    manager.around(hook)
    manager.set_handler("a", lambda job: job.attempts)
    assert run(manager, backoff_strategy="none").result == 2


def test_what_a_hook_raises_on_the_way_out_takes_the_place_of_what_the_handler_raised(manager: JobManager) -> None:
    def hook(run: Run) -> Iterator[None]:
        try:
            yield
        except LookupError as error:
            raise ValueError("better") from error

    def handler(job: Job) -> None:
        raise LookupError("worse")

    manager.around(hook)
    manager.set_handler("a", handler)
    job = run(manager, max_attempts=1)
    assert job.error == "ValueError: better"
    (attempt,) = manager.history(job)
    assert attempt.error_details is not None
    assert "LookupError: worse" in attempt.error_details


def test_a_handler_that_snoozes_is_no_error_for_hooks_that_report_errors(manager: JobManager) -> None:
    reported: list[Exception] = []
    notes: list[str] = []
    times = iter([True, False])

    def reporter(run: Run) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            reported.append(error)
            raise

    def handler(job: Job) -> int:
        if next(times):
            raise Snooze(0)
        return job.attempts

    manager.around(reporter)
    manager.around(Noting("swallowing", notes, swallows=True))
    manager.set_handler("a", handler)
    job = run(manager)
    assert (job.result, reported) == (1, []), "the snoozed attempt does not count"
    assert notes == ["swallowing in", "swallowing out Snooze", "swallowing in", "swallowing out"]


@pytest.mark.parametrize("moment", ["in", "out"])
def test_a_hook_that_snoozes_postpones_the_job_and_the_attempt_does_not_count(manager: JobManager, moment: str) -> None:
    notes: list[str] = []
    times = {"in": iter([True, False]), "out": iter([True, False])}

    def hook(run: Run) -> Iterator[None]:
        if moment == "in" and next(times["in"]):
            raise Snooze(0)
        yield
        if moment == "out" and next(times["out"]):
            raise Snooze(0)

    manager.around(Noting("outer", notes))
    manager.around(hook)
    manager.set_handler("a", lambda job: notes.append("handler") or job.attempts)
    job = run(manager)
    assert (job.result, job.error, [attempt.number for attempt in manager.history(job)]) == (1, None, [1])
    first_handler = ["handler"] * (moment == "out")
    assert notes == ["outer in", *first_handler, "outer out Snooze", "outer in", "handler", "outer out"]


def test_a_hook_for_some_types_is_around_the_jobs_of_these_only(manager: JobManager) -> None:
    notes: list[str] = []

    def noting(name: str) -> Callable[[Run], Iterator[None]]:
        def hook(run: Run) -> Iterator[None]:
            notes.append(f"{name} {run.job.type}")
            yield

        return hook

    manager.around(noting("one"), "a")
    manager.around(noting("some"), types=["a", "b"])
    manager.around(noting("all"))
    for type in "abc":
        manager.set_handler(type, lambda job: None)
    with manager:
        for type in "abc":
            ended(manager, manager.create(type))
    assert notes == ["one a", "some a", "all a", "some b", "all b", "all c"]


def test_a_hook_that_is_removed_while_a_job_runs_is_left_all_the_same(manager: JobManager, gate: threading.Event) -> None:
    notes: list[str] = []
    remove = manager.around(Noting("hook", notes))
    begun = threading.Event()

    def handler(job: Job) -> None:
        begun.set()
        gate.wait(60)

    manager.set_handler("a", handler)
    first = manager.create("a")
    manager.start(1)
    assert begun.wait(60)
    remove()
    remove()
    gate.set()
    ended(manager, first)
    ended(manager, manager.create("a"))
    assert notes == ["hook in", "hook out"]


def test_a_hook_can_be_registered_for_the_length_of_a_with_block(manager: JobManager) -> None:
    notes: list[str] = []
    manager.set_handler("a", lambda job: None)
    with manager:
        with manager.around(Noting("hook", notes)):
            ended(manager, manager.create("a"))
        ended(manager, manager.create("a"))
    assert notes == ["hook in", "hook out"]


@pytest.mark.parametrize(
    ("hook", "error"),
    [
        (lambda run: None, "TypeError: the hook .* returned NoneType, not a context manager"),
        (lambda run: iter([1]), "TypeError: the hook .* returned list_iterator, not a context manager"),
        (lambda: contextlib.nullcontext(), "TypeError: .*"),
    ],
)
def test_a_hook_that_makes_no_context_manager_fails_the_attempt(manager: JobManager, hook: Any, error: str) -> None:
    calls: list[Job] = []
    manager.around(hook)
    manager.set_handler("a", calls.append)
    job = run(manager, max_attempts=1)
    assert job.status == "failed"
    assert job.error is not None
    assert re.match(error, job.error)
    assert calls == []


@pytest.mark.parametrize("yields", [0, 2])
def test_a_generator_that_does_not_yield_once_fails_the_attempt(manager: JobManager, yields: int) -> None:
    def hook(run: Run) -> Iterator[None]:
        for _ in range(yields):
            yield

    manager.around(hook)
    manager.set_handler("a", lambda job: None)
    job = run(manager, max_attempts=1)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.startswith("RuntimeError: generator didn't ")


async def a_coroutine(run: Run) -> None: ...


async def an_async_generator(run: Run) -> Any:
    yield


class WithAsyncCall:
    async def __call__(self, run: Run) -> None: ...


@pytest.mark.parametrize("register", ["around", "around_create", "around_listener", "around_thread"])
@pytest.mark.parametrize("hook", [None, "hook", a_coroutine, an_async_generator, WithAsyncCall()])
def test_what_cannot_be_a_hook_is_refused_at_once(manager: JobManager, register: str, hook: Any) -> None:
    with pytest.raises(TypeError, match="hook"):
        getattr(manager, register)(hook)


@pytest.mark.parametrize(("types", "error"), [(1, TypeError), ([1], TypeError), ("", ValueError), (["a", "b "], ValueError)])
def test_wrong_types_of_a_hook_are_refused_at_once(manager: JobManager, types: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        manager.around(lambda run: contextlib.nullcontext(), types)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_child_that_a_handler_forks_does_not_leave_the_hooks(manager: JobManager, tmp_path: Any) -> None:
    parent = os.getpid()

    def hook(run: Run) -> Iterator[None]:
        yield
        (tmp_path / ("parent" if os.getpid() == parent else "child")).touch()

    def handler(job: Job) -> int:
        child = os.fork()
        if not child:
            return 0
        return os.waitpid(child, 0)[1]

    manager.around(hook)
    manager.set_handler("a", handler)
    assert run(manager).result == 0
    assert [file.name for file in tmp_path.iterdir()] == ["parent"]


def test_a_run_knows_its_attempt_and_whether_it_is_the_last(manager: JobManager) -> None:
    seen: list[tuple[int, bool]] = []

    def hook(run: Run) -> Iterator[None]:
        seen.append((run.attempt, run.last_attempt))
        yield

    def handler(job: Job) -> None:
        raise ValueError

    manager.around(hook)
    manager.set_handler("a", handler)
    job = run(manager, max_attempts=3, backoff_strategy="none")
    assert seen == [(1, False), (2, False), (3, True)]
    assert [attempt.number for attempt in manager.history(job)] == [1, 2, 3]


# -- around create ------------------------------------------------------------------------------------------------------------


def test_a_hook_around_create_sees_the_jobs_before_and_after_they_are_stored(manager: JobManager) -> None:
    seen: list[Any] = []

    def hook(creation: Creation) -> Iterator[None]:
        (new,) = creation.jobs
        seen.append((new.type, new.payload, new.queue, creation.created, creation.metadata))
        yield
        seen.append(creation.created)

    manager.around_create(hook)
    job = manager.create("a", {"x": 1}, queue="slow")
    assert seen == [("a", {"x": 1}, "slow", (), {}), (job,)]


def test_a_hook_around_create_runs_once_for_a_call_of_create_many(manager: JobManager) -> None:
    seen: list[Creation] = []

    def hook(creation: Creation) -> Iterator[None]:
        seen.append(creation)
        yield

    manager.around_create(hook)
    jobs = manager.create_many([("a", {"x": 1}), NewJob("b", priority=3)], priority=2, queue="slow")
    (creation,) = seen
    assert [(new.type, new.payload, new.priority, new.queue) for new in creation.jobs] == [
        ("a", {"x": 1}, 2, "slow"),
        ("b", None, 3, "slow"),
    ]
    assert creation.created == tuple(jobs)
    assert [(job.type, job.payload, job.priority, job.queue) for job in jobs] == [
        ("a", {"x": 1}, 2, "slow"),
        ("b", {}, 3, "slow"),
    ]


def test_what_a_hook_adds_to_the_metadata_travels_with_each_job(manager: JobManager) -> None:
    def hook(creation: Creation) -> Iterator[None]:
        creation.metadata |= {"trace": "t", "locale": "en"}
        yield

    manager.around_create(hook)
    jobs = [manager.create("a"), *manager.create_many([("a", {}), NewJob("a", metadata={"locale": "fr"})])]
    expected = [{"trace": "t", "locale": "en"}] * 2 + [{"trace": "t", "locale": "fr"}]
    assert [job.metadata for job in jobs] == expected
    assert [job.metadata for job in reversed(manager.fetch_all())] == expected


def test_a_name_that_the_job_has_already_stays_when_a_hook_adds_it() -> None:
    creation = Creation((NewJob("a"), NewJob("b", metadata={"locale": "fr"})))
    assert creation.completed() == list(creation.jobs)
    creation.metadata |= {"trace": "t", "locale": "en"}
    assert [job.metadata for job in creation.completed()] == [
        {"trace": "t", "locale": "en"},
        {"trace": "t", "locale": "fr"},
    ]


def test_a_hook_that_raises_on_the_way_in_stores_nothing(manager: JobManager) -> None:
    def hook(creation: Creation) -> Iterator[None]:
        raise LookupError("no")
        yield

    manager.around_create(hook)
    with pytest.raises(LookupError, match="no"):
        manager.create("a")
    with pytest.raises(LookupError, match="no"):
        manager.create_many([("a", {})])
    assert manager.fetch_all() == []


def test_what_create_raises_goes_through_the_hooks_which_cannot_swallow_it(manager: JobManager) -> None:
    notes: list[str] = []
    manager.around_create(Noting("hook", notes, swallows=True))
    with pytest.raises(InvalidJob):
        manager.create("a", {"x": {1}})
    with pytest.raises(InvalidJob, match=r"jobs\[1\]"):
        manager.create_many([("a", {}), ("a", {"x": {1}})])
    assert notes == ["hook in", "hook out InvalidJob"] * 2


@pytest.mark.parametrize("jobs", ["ab", 5, [("a", {}), 5]])
def test_what_create_many_refuses_it_refuses_with_hooks_too(manager: JobManager, jobs: Any) -> None:
    with pytest.raises(InvalidJob) as without:
        manager.create_many(jobs)
    manager.around_create(Noting("hook", []))
    with pytest.raises(InvalidJob) as with_hooks:
        manager.create_many(jobs)
    assert str(without.value) == str(with_hooks.value)


def test_on_done_works_within_hooks_around_create(manager: JobManager) -> None:
    manager.around_create(Noting("hook", []))
    manager.set_handler("a", lambda job: None)
    done: list[Job] = []
    with manager:
        job = manager.create("a", on_done=done.append)
        until(lambda: done)
    assert done[0].uid == job.uid


# -- around listeners -----------------------------------------------------------------------------------------------------


def test_a_hook_around_listeners_gets_the_job_and_runs_in_the_dispatchers_thread(manager: JobManager) -> None:
    notes: list[Any] = []

    def hook(job: Job) -> Iterator[None]:
        notes.append((job.status, threading.current_thread().name))
        yield
        notes.append("left")

    manager.around_listener(hook)
    manager.set_handler("a", lambda job: None)
    manager.on_success("a", lambda job: notes.append("success"))
    manager.on_attempt("a", lambda job, attempt: notes.append(attempt.status))
    with manager:
        ended(manager, manager.create("a", on_done=lambda job: notes.append("done")))
    begun, success = ("running", "steve-dispatcher"), ("completed", "steve-dispatcher")
    assert notes == [
        begun, "running", "left", success, "success", "left", success, "success", "left", success, "done", "left",
    ]  # fmt: skip


def test_a_hook_around_listeners_that_raises_harms_nothing(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def hook(job: Job) -> Iterator[None]:
        if job.type == "a":
            raise SystemExit("no")
        yield

    manager.around_listener(hook)
    manager.on_success(None, lambda job: told.append(job.type))
    for type in "ab":
        manager.set_handler(type, lambda job: None)
    with manager:
        first = ended(manager, manager.create("a"))
        ended(manager, manager.create("b"))
    assert (first.status, told) == ("completed", ["b"])
    assert [record.levelno for record in caplog.records if "a listener raised" in record.message] == [logging.ERROR]


def test_what_a_listener_raises_is_logged_though_a_hook_swallows_it(
    manager: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    def listener(job: Job) -> None:
        raise LookupError

    manager.around_listener(Noting("hook", [], swallows=True))
    manager.on_success(None, listener)
    manager.set_handler("a", lambda job: None)
    run(manager)
    manager.stop()
    assert [record for record in caplog.records if "a listener raised" in record.message]


# -- around threads -------------------------------------------------------------------------------------------------------


def test_a_hook_around_threads_is_entered_and_left_once_in_each_before_stop_returns(manager: JobManager) -> None:
    entered: list[str] = []
    left: list[str] = []

    def hook() -> Iterator[None]:
        entered.append(threading.current_thread().name)
        yield
        left.append(threading.current_thread().name)

    manager.around_thread(hook)
    manager.set_handler("a", lambda job: None)
    for _ in range(3):
        entered.clear()
        left.clear()
        manager.start(4)
        ended(manager, manager.create("a"))
        assert left == []
        assert manager.stop().complete
        assert sorted(left) == sorted(entered)
        assert len(set(entered)) == 5
        assert [name for name in entered if not name.startswith("steve-worker")] == ["steve-dispatcher"]


def test_hooks_around_threads_are_nested_in_the_order_of_registration(manager: JobManager) -> None:
    notes: list[str] = []

    def noting(name: str) -> Callable[[], Iterator[None]]:
        def hook() -> Iterator[None]:
            is_worker = threading.current_thread().name.startswith("steve-worker")
            notes.extend([f"{name} in"] * is_worker)
            yield
            notes.extend([f"{name} out"] * is_worker)

        return hook

    manager.around_thread(noting("outer"))
    manager.around_thread(noting("inner"))
    manager.start(1)
    manager.stop()
    assert notes == ["outer in", "inner in", "inner out", "outer out"]


def test_a_handler_runs_in_a_copy_of_the_context_that_its_thread_has(manager: JobManager) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def hook() -> Iterator[None]:
        variable.set("warm")
        yield

    def handler(job: Job) -> str:
        found = variable.get()
        variable.set("cold")
        return found

    manager.around_thread(hook)
    manager.set_handler("a", handler)
    with manager:
        for job in manager.create_many([("a", {})] * 4):
            assert ended(manager, job).result == "warm"


def test_what_a_listener_leaves_in_its_threads_context_reaches_no_handler(manager: JobManager) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    manager.set_handler("a", lambda job: variable.get())

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            variable.set("of a log handler on the worker's thread")

    logger = logging.getLogger("steve")
    logger.addHandler(noisy := Handler(logging.INFO))
    level = logger.level
    logger.setLevel(logging.INFO)
    manager.around_thread(contextlib.nullcontext)
    try:
        with manager:
            for _ in range(4):
                assert ended(manager, manager.create("a")).result == "unset"
    finally:
        logger.removeHandler(noisy)
        logger.setLevel(level)


@pytest.mark.parametrize("moment", ["in", "out"])
def test_a_hook_around_threads_that_raises_is_logged_and_the_thread_works(
    manager: JobManager, caplog: pytest.LogCaptureFixture, moment: str
) -> None:
    notes: list[str] = []

    def raising() -> Iterator[None]:
        if moment == "in":
            raise SystemExit("no")
        yield
        raise SystemExit("no")

    manager.around_thread(Noting("outer", notes))
    manager.around_thread(raising)
    manager.around_thread(Noting("inner", notes))
    manager.set_handler("a", lambda job: None)
    assert run(manager).status == "completed"
    assert manager.stop().complete
    assert notes.count("outer in") == notes.count("outer out") == notes.count("inner in") == notes.count("inner out") == 2
    lines = [record.getMessage() for record in caplog.records if "the hook" in record.message]
    assert len(lines) == 2
    assert all("raising raised at the " in line for line in lines)


def test_a_hook_around_threads_that_is_removed_is_left_at_the_end_of_the_threads_that_entered_it(manager: JobManager) -> None:
    notes: list[str] = []
    remove = manager.around_thread(Noting("hook", notes))
    manager.set_handler("a", lambda job: None)
    run(manager)
    until(lambda: len(notes) == 2)  # the worker's thread and the dispatcher's
    remove()
    manager.stop()
    assert sorted(notes) == ["hook in", "hook in", "hook out", "hook out"]
    manager.start(1)
    manager.stop()
    assert len(notes) == 4


def test_a_hook_around_threads_that_comes_later_is_for_the_next_start(manager: JobManager) -> None:
    notes: list[str] = []
    manager.set_handler("a", lambda job: None)
    manager.start(2)
    manager.around_thread(Noting("hook", notes))
    ended(manager, manager.create("a"))
    assert manager.stop().complete
    assert notes == []


def test_threads_leave_their_hooks_when_a_program_forgets_to_stop(database_url: str, manager: JobManager, schema: str) -> None:
    program = """
import os, sys, threading
from steve import JobManager
manager = JobManager(sys.argv[1], schema=sys.argv[2])
def hook():
    yield
    os.write(1, b"left\\n")  # in one piece: several threads print
manager.around_thread(hook)
done = threading.Event()
manager.set_handler("a", lambda job: done.set())
manager.start(2)
manager.create("a")
done.wait(60)
"""
    command = [sys.executable, "-c", program, database_url, schema]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split() == ["left"] * 3
