"""The hammer: a manager whose handlers return at about the moment at which they are interrupted.

Nothing may be raised outside a handler's call: not in another job, between jobs, or in steve's own threads and lines of log.
Each job must end as its kind allows, with its own result.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from steve import Job, JobManager, Run, TimeLimit, current_run

TIMEOUT = 0.002
LATE = 0.001
"""How long after its deadline a handler returns, at most: TimeLimit comes within this time."""

TIMED_OUT = ("failed", "steve.TimedOut")
COMPLETED = ("completed", None)


class Wrong(Exception):
    """What a handler raises."""


def spin(job: Job) -> dict[str, Any]:
    """Python code to the last moment."""
    _spin_past_deadline()
    return {"k": job.payload["k"]}


def raises(job: Job) -> None:
    _spin_past_deadline()
    raise Wrong(job.payload["k"])


def catches(job: Job) -> dict[str, Any]:
    """Notices the end and returns all the same."""
    try:
        _spin_past_deadline()
    except TimeLimit:
        pass
    return {"k": job.payload["k"]}


def logs(job: Job) -> dict[str, Any]:
    """The logging module's locks are the handler's risk; so it uses a logger without handlers."""
    _spin_past_deadline(lambda: _QUIET.debug("still here"))
    return {"k": job.payload["k"]}


def waits(job: Job) -> dict[str, Any]:
    current_run().wait(1)
    return {"k": job.payload["k"]}


def plain(job: Job) -> dict[str, Any]:
    """Has no timeout: nothing may happen to it."""
    until = time.monotonic() + random.uniform(0, TIMEOUT)
    while time.monotonic() < until:
        pass
    return {"k": job.payload["k"]}


RETURNED: dict[str, list[Any]] = {"in c": [], "in c, late": []}
"""An entry for each time that one of these handlers has returned."""


def _in_c(kind: str, seconds: float) -> Callable[[Job], Any]:
    """A handler without a step of Python code. If it has begun, it returns, however late TimeLimit was set; and notes that."""
    sleeps = iter(partial(time.sleep, seconds), object())
    return partial(next, map(RETURNED[kind].append, sleeps))


KINDS: dict[str, tuple[Callable[[Job], Any], set[tuple[str, str | None]]]] = {
    "spin": (spin, {COMPLETED, TIMED_OUT}),
    "raises": (raises, {("failed", f"{__name__}.Wrong"), TIMED_OUT}),
    "catches": (catches, {COMPLETED, TIMED_OUT}),
    "logs": (logs, {COMPLETED, TIMED_OUT}),
    "waits": (waits, {COMPLETED, TIMED_OUT}),
    "in c": (_in_c("in c", TIMEOUT), {COMPLETED, TIMED_OUT}),
    "in c, late": (_in_c("in c, late", 2 * TIMEOUT), {COMPLETED, TIMED_OUT}),
    "plain": (plain, {COMPLETED}),
}
"""The handlers, and how their jobs may end."""

_QUIET = logging.getLogger("tests.hammer.quiet")
_QUIET.propagate = False


def _spin_past_deadline(step: Callable[[], object] = lambda: None) -> None:
    deadline = current_run().deadline
    assert deadline is not None
    until = deadline + random.uniform(-LATE / 4, LATE)
    while time.monotonic() < until:
        step()


class Hammer:
    def __init__(self, db: str, schema: str, jobs: int, *, workers: int = 4, seed: int = 0) -> None:
        self.flaws: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.examples: list[str] = []
        self._manager = JobManager(db, schema=schema)
        self._jobs = jobs
        self._workers = workers
        self._chance = random.Random(seed)

    def run(self) -> None:
        """Run the jobs and count what went wrong."""
        manager = self._manager
        for returned in RETURNED.values():
            returned.clear()
        for kind, (handler, _) in KINDS.items():
            limits: dict[str, Any] = {} if kind == "plain" else {"timeout": TIMEOUT, "interrupt": True}
            manager.handler(kind, **limits)(handler)
        manager.around(_untouched, types=["raises", "logs"])
        kinds = list(KINDS)
        with _often_switching(), _watched_log() as wrong_lines:
            manager.start(self._workers)
            jobs = manager.create_many([(self._chance.choice(kinds), {"k": str(k)}) for k in range(self._jobs)], max_attempts=1)
            done = threading.Event()
            left = {job.uid for job in jobs}

            def tell(job: Job) -> None:
                left.discard(job.uid)
                if not left:
                    done.set()

            manager.on_done(None, tell)
            for job in manager.fetch_all("completed", limit=10_000) + manager.fetch_all("failed", limit=10_000):
                tell(job)
            deadline = time.monotonic() + 60 + self._jobs * TIMEOUT * 10
            while left and time.monotonic() < deadline:
                done.wait(0.5)
            health = manager.health()
            report = manager.stop(timeout=60)
        self.flaws["threads broken"] += health.restarted_threads + len(health.dead_threads)
        self.flaws["threads left"] += not report.complete
        self.flaws["wrong lines in the log"] += len(wrong_lines)
        self.examples += wrong_lines
        for job in jobs:
            self._check(job)
        manager.stop()  # closes the connections of find()
        for kind, returned in RETURNED.items():
            self.flaws["values that were lost"] += len(returned) - self.ends[f"{kind}: completed"]

    def _check(self, created: Job) -> None:
        job = self._manager.find(created)
        if job is None or job.completed_at is None:
            self.flaws["jobs lost"] += 1
            return
        (attempt, *others) = self._manager.history(job)
        end = (str(job.status), attempt.error_type)
        self.ends[f"{job.type}: {end[1] or end[0]}"] += 1
        if others or end not in KINDS[job.type][1]:
            self.flaws["outcomes that are wrong"] += 1
            self.examples.append(f"{job.type}: {end} {attempt.error_message} {attempt.error_details}")
        elif job.result is not None and job.result["k"] != job.payload["k"]:
            self.flaws["outcomes of another job"] += 1

    def is_sound(self) -> bool:
        return not any(self.flaws.values())


@contextmanager
def _untouched(run: Run) -> Iterator[None]:
    """A hook. It runs outside the window; `finally` would be lost if TimeLimit were raised in it."""
    try:
        yield
    finally:
        until = time.monotonic() + random.uniform(0, LATE)
        while time.monotonic() < until:
            pass
        run.job.payload["left"] = True


@contextmanager
def _often_switching() -> Iterator[None]:
    """The threads take turns often, so that the one that watches the deadlines is not late."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.00005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _watched_log() -> Iterator[list[str]]:
    """The lines of steve's log that are not about the end of an attempt, and what was raised where nothing could catch it."""
    wrong: list[str] = []

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = record.getMessage()
            if record.levelno >= logging.WARNING and ") attempt " not in line:
                wrong.append(self.format(record))

    watching = Watching()
    logger = logging.getLogger("steve")
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(watching)
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = lambda raised: wrong.append(f"unraisable: {raised.exc_value!r} in {raised.object!r}")
    threading.excepthook = lambda raised: wrong.append(f"{raised.thread}: {raised.exc_value!r}")
    try:
        yield wrong
    finally:
        sys.unraisablehook, threading.excepthook = hooks
        logger.removeHandler(watching)
        logger.propagate = propagates
