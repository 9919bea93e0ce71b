"""The demo: one job for every file under a folder, watched while it runs and summed up from the database.

Called by `python -m steve demo`; written as any user of steve would write it, with its public names only.

    files.py      which files there are, and which type of job is for which
    database.py   where to work: an embedded PostgreSQL, or a schema of our own in yours
    measure.py    the handlers: hash, measure and count one file
    progress.py   what the listeners tell, while it runs
    summary.py    what the database says in the end
"""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from steve import JobManager, NewJob, RetryPolicy

from .database import prepared
from .files import Found, find_files, type_of
from .measure import HANDLERS
from .progress import Progress
from .summary import print_summary

RETRY = RetryPolicy(max_attempts=3, backoff_strategy="exp", base=1.5, jitter=0.3)
"""Short waits (about 1.5 and 2.3 s): what cannot be read fails while you watch. Your own jobs may well wait longer."""

AT_ONCE = 1000
"""Jobs created in one call: few enough that the first are worked on while the rest are being created."""


def run(folder: Path | None, database_url: str | None, *, schema: str, workers: int) -> int:
    """Runs the demo and returns its exit code. `folder`: None for the standard library of the running Python."""
    console = Console(highlight=False)
    found = find_files(folder)
    console.print(f"{len(found.files):,} files under {found.folder}", markup=False)
    for reason, number in found.left_out.items():
        console.print(f"{number:,} left out: {reason}")
    try:
        with _interruptible_once(), _warnings_on(console), prepared(database_url, schema) as database:
            console.print(f"{database.description}, {workers} worker{'s' * (workers != 1)}", markup=False)
            manager = JobManager(database.conninfo, handlers=HANDLERS, schema=schema, retry=RETRY)
            try:
                _work(manager, found, workers, console)
            finally:
                manager.stop(timeout=30)
    except KeyboardInterrupt:
        console.print("Interrupted: the jobs that ran have ended, nothing is left behind.")
        return 130
    return 0


def _work(manager: JobManager, found: Found, workers: int, console: Console) -> None:
    files = found.files
    with Progress(manager, len(files), console) as progress:
        manager.start(workers)
        for first in range(0, len(files), AT_ONCE):
            manager.create_many(NewJob(type_of(path), {"path": str(path)}) for path in files[first : first + AT_ONCE])
            progress.show()
        progress.wait()
    print_summary(manager, found.folder, console)


@contextmanager
def _interruptible_once() -> Iterator[None]:
    """Ctrl-C, or a supervisor's SIGTERM, raises KeyboardInterrupt; another one does not keep us from cleaning up."""

    def interrupt(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _warnings_on(console: Console) -> Iterator[None]:
    """steve's warnings above the progress bar. What it says of single jobs is left out: the tables will show it."""

    def not_of_a_job(record: logging.LogRecord) -> bool:
        return not hasattr(record, "job_uid")

    logger = logging.getLogger("steve")
    handler = RichHandler(console=console, level=logging.WARNING, show_path=False)
    handler.addFilter(not_of_a_job)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
