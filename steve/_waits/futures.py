"""JobFuture: stands for the end of a job, as the standard library's futures stand for the end of a call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from steve._runtime.guard import call_here
from steve.errors import JobCancelled, JobFailed, NotRunning
from steve.job import Job, Status


class JobFuture(Future[Job]):
    """Its result is the job when that is completed. It raises JobFailed or JobCancelled, whose `job` is the job, when the job
    ends otherwise; JobGone when the job does not exist, and NotRunning when the manager was stopped before the job has ended.

    `concurrent.futures.wait`, `as_completed` and `asyncio.wrap_future` work with it. The thread of the waits calls the
    functions given to `add_done_callback`, so one that takes long holds up all other waits of the process.
    """

    def __init__(self, on_cancel: Callable[[], object] = lambda: None, *, raises: bool = True) -> None:
        """`on_cancel`: cancels the job, and returns at once. `raises`: otherwise the result is the job, however it ended."""
        super().__init__()
        self._on_cancel = on_cancel
        self._raises = raises
        self._giving_up = threading.Lock()  # taken once, and never released

    def cancel(self) -> bool:
        """Give the future up, and cancel the job if it has not begun. Returns at once; False: the future is done already.

        The job is cancelled by another thread, soon. If it has begun by then, it goes on.
        """
        if not super().cancel():
            return False
        if self._giving_up.acquire(blocking=False):  # by the first call only
            self.set_running_or_notify_cancel()  # for those who wait with concurrent.futures.wait or as_completed
            self._on_cancel()
        return True

    def end(self, job: Job) -> None:
        """The job has ended like this."""
        error: Exception | None = None
        if self._raises and job.status is not Status.COMPLETED:
            kind = JobCancelled if job.status is Status.CANCELLED else JobFailed
            error = kind(f"job {job.uid} ({job.type}) ended {job.status}: {job.error}", job)
        if error is None:
            self._settle(lambda: self.set_result(job))
        else:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Nothing can be said about the job, because of this."""
        self._settle(lambda: self.set_exception(error))

    def _settle(self, settle: Callable[[], None]) -> None:
        with suppress(InvalidStateError):  # the user has cancelled it meanwhile
            call_here(settle)  # it calls functions of the user's, which may fork

    def abandon_after_fork(self) -> None:
        """In the child of a fork: nobody here waits for the job any more. A thread that does not exist here may hold the lock
        of this future, or of somebody who waits for it. The functions that the parent has added are the parent's to call."""
        self._condition = threading.Condition()
        self._done_callbacks: list[Any] = []
        self._waiters: list[Any] = []
        self.fail(NotRunning("this future belongs to the parent of this process, which was forked off: call future() here"))
