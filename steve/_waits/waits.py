"""Waits: wait, wait_all and future. It works in any process, whether its manager was started or not.

The first wait starts the thread (loop.py). It ends with `stop()`, at the interpreter's exit, after request_stop() when the
manager's handlers have returned, or when nobody has waited for half a minute. Then the next wait starts another one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import FIRST_EXCEPTION
from concurrent.futures import wait as wait_for_futures
from functools import partial
from typing import Protocol
from uuid import UUID

from steve._client.audit import Audit
from steve._client.lookup import uid_of
from steve._database.connections import Connections
from steve._database.failures import DatabaseFailure
from steve._database.statements import Statements
from steve._model.control import ENDED
from steve._model.settings import Settings
from steve._runtime import fork
from steve._runtime.exit import interpreter
from steve._runtime.log import logger
from steve._waits.book import EnginePort, Wait
from steve._waits.cancels import Cancel
from steve._waits.database import DatabaseWaits
from steve._waits.futures import JobFuture
from steve._waits.loop import ManagerPort, WaitLoop
from steve.errors import NotRunning, shown
from steve.job import Job
from steve.run import seconds_to_interrupt, uninterrupted


class CallerPort(ManagerPort, Protocol):
    """The engines of the manager: `ForCallers`."""

    def own_engine(self) -> EnginePort | None: ...

    def all_are_busy(self) -> bool: ...


class Waits:
    """Its methods raise the same errors as the methods of `JobManager` with the same names."""

    def __init__(
        self,
        *,
        connections: Connections,
        statements: Statements,
        settings: Settings,
        manager: CallerPort,
        audit: Audit,
        make_database: Callable[[], DatabaseWaits],
    ) -> None:
        self._connections = connections
        self._statements = statements
        self._settings = settings
        self._manager = manager
        self._audit = audit
        self._make_database = make_database
        self._reset()
        fork.register(self)

    def _reset(self) -> None:
        # Protects `_loop`, its inbox and its end. A thread is started under it, and nothing waits. It may be taken twice,
        # because a signal handler may give a future up.
        self._lock = threading.RLock()
        self._loop: WaitLoop | None = None
        self._open: set[JobFuture] = set()  # those that are not done, for the child of a fork

    def reset_after_fork(self) -> None:
        """In the child of a fork: the thread does not exist here, and nobody else would end the parent's futures."""
        loop, futures = self._loop, list(self._open)
        fork.leave_alone(loop)
        self._reset()
        for future in futures:
            future.abandon_after_fork()
        if loop is not None:
            with contextlib.suppress(OSError):
                loop.leave_to_parent()

    # -- what callers ask -----------------------------------------------------------------------------------------------

    def wait(self, job: object, timeout: float | None) -> Job:
        return self._wait_for([uid_of(job)], timeout)[0]

    def wait_all(self, jobs: Iterable[object], timeout: float | None) -> list[Job]:
        if isinstance(jobs, Job | UUID | str):
            raise TypeError(f"jobs must be several jobs or uids, not {type(jobs).__name__}: wait() takes one")
        return self._wait_for([uid_of(job) for job in jobs], timeout)

    def future(self, job: object) -> JobFuture:
        uid = uid_of(job)
        fork.notice_fork()
        with uninterrupted():
            return self._watch(uid, JobFuture(partial(self._cancel, uid)))

    def _wait_for(self, uids: list[UUID], timeout: float | None) -> list[Job]:
        check_timeout(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        fork.notice_fork()
        self._warn_if_alone(uids)
        # The thread of the waits takes the locks of the futures, too. So TimeLimit strikes a handler only outside these blocks.
        with uninterrupted():
            futures = {} if timeout == 0 else {uid: self._watch(uid, JobFuture(raises=False)) for uid in dict.fromkeys(uids)}
        try:
            while _wait(futures.values(), deadline):  # TimeLimit is due
                time.sleep(0.001)
        finally:
            with uninterrupted():
                for future in futures.values():
                    future.cancel()  # does nothing if it is done
        with uninterrupted():
            found = {uid: future.result(0) for uid, future in futures.items() if future.done() and not future.cancelled()}
        left = [uid for uid in uids if uid not in found]
        if left:
            found |= self._look_once(left, timeout)
        return [found[uid] for uid in uids]

    def _look_once(self, uids: list[UUID], timeout: float | None) -> dict[UUID, Job]:
        """The time is over. Returns these jobs if all of them have ended just now. Raises TimeoutError."""
        found: dict[UUID, Job] = {}
        unknown = "unknown: there is no such job yet"
        try:
            patience = self._settings.tuning.shutdown_grace
            found = self._connections.call(lambda ours: self._statements.jobs.find_jobs(ours, uids), timeout=patience)
        except DatabaseFailure as error:
            unknown = f"unknown: {self._connections.reason(error)}"
        left = [uid for uid in dict.fromkeys(uids) if uid not in found or found[uid].status not in ENDED]
        if left:
            job = found.get(left[0])
            name, status = ("", unknown) if job is None else (f" ({job.type})", job.status)
            more = f", and {len(left) - 1} other jobs have not ended" if len(left) > 1 else ""
            raise TimeoutError(f"after {timeout:g} s the status of job {left[0]}{name} is {status}{more}")
        return found

    def _warn_if_alone(self, uids: list[UUID]) -> None:
        if uids and self._manager.own_engine() is not None and self._manager.all_are_busy():
            logger.warning(
                "a handler waits for job %s, and no other worker of this process is free: if no other process runs that job, "
                "both wait for ever", uids[0],
            )  # fmt: skip

    # -- the thread -----------------------------------------------------------------------------------------------------

    def _watch(self, uid: UUID, future: JobFuture) -> JobFuture:
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        try:
            self._put(Wait(uid, future, self._manager.stops, self._manager.own_engine()))
        except BaseException:
            self._open.discard(future)
            raise
        return future

    def _cancel(self, uid: UUID) -> None:
        """Called by `JobFuture.cancel()`, on any thread, perhaps in a signal handler."""
        fork.notice_fork()
        with contextlib.suppress(NotRunning):  # the interpreter exits
            self._put(Cancel(uid, self._audit.entry("cancel", {"job": str(uid)})))

    def _put(self, one: Wait | Cancel) -> None:
        with self._lock:
            loop = self._loop
            if loop is None:
                loop = self._loop = self._start()
            if not loop.put(one):
                raise NotRunning("the interpreter exits: no job can be waited for any more")

    def _start(self) -> WaitLoop:
        """Called under the lock. Raises NotRunning if the system starts no more threads."""
        loop = WaitLoop(
            database=self._make_database(), manager=self._manager, retire=self._retire, tuning=self._settings.tuning
        )
        try:
            interpreter.ends_last(loop)
            loop.thread.start()
        except RuntimeError as error:
            raise NotRunning(f"no thread can be started to wait for jobs: {error}") from error
        return loop

    def _retire(self, loop: WaitLoop) -> bool:
        with self._lock:
            if loop.inbox:
                return False
            if self._loop is loop:
                self._loop = None
            return True

    def end(self) -> None:
        """The manager has ended: no wait that has begun may go on."""
        with self._lock:
            loop, self._loop = self._loop, None
            futures = list(self._open)
        if loop is None:
            return
        loop.ask_to_stop()
        if not loop.wait_for_end() and loop.thread is not threading.current_thread():
            for future in futures:
                future.fail(NotRunning("the manager was stopped before the job has ended, and the database does not answer"))


def _wait(futures: Collection[JobFuture], deadline: float | None) -> bool:
    """Wait until all are done, one has failed, or the deadline has passed, by time.monotonic(). Returns True instead when
    TimeLimit is due in the handler that waits."""
    patience = None if deadline is None else max(0.0, deadline - time.monotonic())
    limit = seconds_to_interrupt()
    is_cut = limit is not None and (patience is None or limit < patience)
    with uninterrupted():
        left = wait_for_futures(futures, limit if is_cut else patience, return_when=FIRST_EXCEPTION).not_done
        return is_cut and bool(left) and not any(one.exception(0) for one in futures if one.done() and not one.cancelled())


def check_timeout(seconds: object) -> None:
    """Raises TypeError or ValueError unless it is None or a time that a thread can wait."""
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"timeout must be a number of seconds or None, not {type(seconds).__name__}")
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout must be 0 or more seconds, not {shown(seconds)}")
