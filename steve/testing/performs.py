"""perform(): calls one handler, without a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steve import JobManager, NewJob


def perform(
    manager: JobManager,
    type: str,
    payload: dict[str, Any] | None = None,
    attempt: int = 1,
    *,
    max_attempts: int | None = None,
    tags: Mapping[str, str | int] | None = None,
    metadata: dict[str, Any] | None = None,
) -> Any:
    """Call the handler of `type` as a worker would, without a database, and return what it returns.

    The payload and the result go through JSON, so what a worker could not store fails here, too. The handler runs within the
    hooks of `manager.around`, with its timeout, in a context of its own, and `current_run()` works: `attempt` is the number
    that it tells, counted from 1, and `last_attempt` is true from `max_attempts` on. `run.complete()` raises NotRunning, since
    no database has the job. `run.progress()` does nothing, and no listener is told.

    Whatever the handler raises is raised here, `Snooze`, `Retry`, `Fail` and `Cancel` included. Raises InvalidJob for a job
    that `create` would refuse, ValueError if there is no handler, and JobFailed if the result cannot be stored.
    """
    if isinstance(attempt, bool) or not isinstance(attempt, int):
        raise TypeError(f"attempt must be an int, not {attempt.__class__.__name__}")
    if not 1 <= attempt <= 10_000:
        raise ValueError(f"attempt must be 1 to 10,000, not {attempt}")
    new = NewJob(type, payload, max_attempts=max_attempts, tags=tags, metadata=metadata)
    return manager._inline.perform(new, attempt)
