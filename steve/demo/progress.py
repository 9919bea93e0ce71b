"""What steve's listeners tell while the jobs run: a progress bar, or a line now and then where no terminal is.

The listeners run on steve's dispatcher thread and only count; the main thread looks at the counts and draws.
"""

import threading
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from steve import Attempt, Job, JobManager, Status

_LINE_EVERY = 5.0
"""Seconds between lines where there is no terminal."""


class Progress:
    """Counts what becomes of `total` jobs, from entering the `with` block to leaving it."""

    def __init__(self, manager: JobManager, total: int, console: Console) -> None:
        self._total = total
        self._console = console
        self._done = 0
        self._failed = 0
        self._retrying: set[int] = set()
        self._finished = threading.Event()
        self._begun = self._last_line = time.monotonic()
        columns = (BarColumn(bar_width=20), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Bar(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total)
        self._listeners = (
            manager.on_success(None, self._count_done),
            manager.on_failure(None, self._count_failed),
            manager.on_attempt(None, self._count_retrying),
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        for remove in self._listeners:
            remove()
        self.show(last=True)
        self._bar.stop()

    def wait(self) -> None:
        """Returns when every job has ended, one way or the other."""
        while not self._finished.wait(0.1):
            self.show()

    def show(self, last: bool = False) -> None:
        """Draws what is known now."""
        ended = self._done + self._failed
        self._bar.update(self._task, completed=ended, description=self._text(ended))
        now = time.monotonic()
        if not self._console.is_terminal and (last or now - self._last_line >= _LINE_EVERY):
            self._last_line = now
            self._console.print(f"{ended:,} of {self._total:,}: {self._text(ended)}")

    def _text(self, ended: int) -> str:
        speed = ended / max(time.monotonic() - self._begun, 0.001)
        return f"{self._done:,} done, {self._failed:,} failed, {len(self._retrying):,} retrying, {speed:,.0f} jobs/s"

    def _count_done(self, job: Job) -> None:
        self._done += 1
        self._ended(job)

    def _count_failed(self, job: Job) -> None:
        self._failed += 1
        self._ended(job)

    def _count_retrying(self, job: Job, attempt: Attempt) -> None:
        if attempt.completed_at is not None and job.status is Status.PENDING:  # it raised and will be tried again
            self._retrying.add(job.id)

    def _ended(self, job: Job) -> None:
        self._retrying.discard(job.id)
        if self._done + self._failed == self._total:
            self._finished.set()
