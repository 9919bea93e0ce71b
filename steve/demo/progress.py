"""Counts, in listeners, what becomes of the jobs while they run.

steve's dispatcher thread calls the listeners, which only count. The main thread reads the counts, and display.py draws them.
"""

import threading
import time
from collections.abc import Callable
from typing import Self
from uuid import UUID

from steve import Attempt, Job, JobManager, Status


class Progress:
    """Counts what becomes of the jobs, from entering the `with` block to leaving it.

    `label`: turns a file's path into its name on the screen.
    """

    def __init__(self, manager: JobManager, label: Callable[[str], str]) -> None:
        self.total = 0
        self.done = 0
        self.failed = 0
        self.retries = 0
        """How many attempts raised and will be followed by another attempt."""
        self.latest: tuple[str, str] | None = None
        """The file and the error of the latest of these attempts."""
        self._manager = manager
        self._label = label
        self._retrying: set[UUID] = set()
        self._all_ended = threading.Event()
        self._begun = time.monotonic()
        self._listeners: tuple[Callable[[], None], ...] = ()

    def __enter__(self) -> Self:
        self._listeners = (
            self._manager.on_success(None, self._count_done),
            self._manager.on_failure(None, self._count_failed),
            self._manager.on_attempt(None, self._count_retry),
        )
        return self

    def __exit__(self, *_: object) -> None:
        for remove in self._listeners:
            remove()

    @property
    def ended(self) -> int:
        """How many jobs are done or failed."""
        return self.done + self.failed

    @property
    def retrying(self) -> int:
        """How many jobs raised and have not ended yet."""
        return len(self._retrying)

    @property
    def seconds(self) -> float:
        """The time since the beginning."""
        return time.monotonic() - self._begun

    @property
    def jobs_per_second(self) -> float:
        """How many jobs ended in a second, on average since the beginning."""
        return self.ended / max(self.seconds, 0.001)

    def expect(self, number: int) -> None:
        """Adds jobs that are about to be created. Call it only while no job waits or runs."""
        self.total += number
        self._all_ended.clear()

    def wait(self, seconds: float) -> bool:
        """Waits until all jobs have ended, for at most so many seconds. Returns whether they have."""
        return self._all_ended.wait(seconds)

    def _count_done(self, job: Job) -> None:
        self.done += 1
        self._end(job)

    def _count_failed(self, job: Job) -> None:
        self.failed += 1
        self._end(job)

    def _count_retry(self, job: Job, attempt: Attempt) -> None:
        if attempt.completed_at is not None and job.status is Status.PENDING:  # it raised and will be tried again
            self.retries += 1
            self.latest = self._label(job.payload["path"]), attempt.error_message or ""
            self._retrying.add(job.uid)

    def _end(self, job: Job) -> None:
        self._retrying.discard(job.uid)
        if self.ended == self.total:
            self._all_ended.set()
