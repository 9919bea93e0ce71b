"""structlog: each line that a handler logs says which job it is about.

    from steve.contrib.structlog import instrument

    instrument(manager)

The names are those that steve gives to its own records: `job_uid`, `job_type` and `job_attempt`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from structlog.contextvars import bind_contextvars, reset_contextvars

from steve import Job, JobManager, Run


def instrument(manager: JobManager) -> Callable[[], None]:
    """Bind these names around each call of a handler or a listener of this manager. They are in the lines of loggers whose
    processors include `structlog.contextvars.merge_contextvars`. Returns a function that ends it."""
    removes = [manager.around(_around), manager.around_listener(_bound)]

    def remove() -> None:
        for one in removes:
            one()

    return remove


@contextmanager
def _bound(job: Job) -> Iterator[None]:
    tokens = bind_contextvars(job_uid=str(job.uid), job_type=job.type, job_attempt=job.attempts)
    try:
        yield
    finally:
        reset_contextvars(**tokens)  # listeners are called in one context: the thread's, or that of the caller of `drain`


def _around(run: Run) -> AbstractContextManager[None]:
    return _bound(run.job)
