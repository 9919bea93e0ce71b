"""drain(): runs the jobs that are due, on the calling thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from steve import Job, JobFailed, JobManager, NotRunning, Retry, Status, SteveError, current_run
from steve.testing.where import DEFAULT, connection_for


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one job in a `drain`."""

    job: Job
    """As it is after the run: `completed`, `failed` or `cancelled`, or `pending` if it is to run again."""
    attempt: int
    """The number of the attempt, counted from 1."""
    error: BaseException | None = field(hash=False)
    """What the handler raised, if the attempt failed."""
    due_in: float | None
    """In how many seconds the job is due again. None: it is not."""
    snoozed: bool
    """The handler raised `Snooze`, so the attempt does not count."""
    dropped: bool
    """The job was deleted or taken away while it ran, so nothing was written about the run."""

    @property
    def type(self) -> str:
        return self.job.type

    @property
    def status(self) -> Status | str:
        return self.job.status

    def __str__(self) -> str:
        what = "dropped" if self.dropped else "snoozed" if self.snoozed else str(self.status)
        if self.due_in is not None:
            what += f", due again in {self.due_in:g} s"
        return f"{self.type!r} {self.job.uid}, attempt {self.attempt}: {what}"


class DrainLimitExceeded(SteveError):
    """`drain` has run `max_jobs` jobs, and more are due. `ran`: what became of them."""

    def __init__(self, message: str, ran: Sequence[Ran] = ()) -> None:
        super().__init__(message, ran)
        self.ran = list(ran)

    def __str__(self) -> str:
        return str(self.args[0])


def drain(
    manager: JobManager,
    connection: object = DEFAULT,
    *,
    queues: str | Iterable[str] | None = None,
    types: str | Iterable[str] | None = None,
    scheduled: bool = False,
    raise_errors: bool = True,
    max_jobs: int = 1000,
) -> list[Ran]:
    """Run the jobs that are due, one after the other, on the calling thread, until none is left. Returns what became of them,
    in the order in which they ran. Jobs that these create, and that are due, run as well.

    Everything is as in a worker: which job comes first, hooks, timeouts, what an exception means, the row in the log. Listeners
    are told before this returns. Each handler runs in a copy of the caller's context, with the caller's context variables.
    The manager need not be started; if it is, its workers may take jobs, too.

    `connection`: a Connection or Cursor of psycopg 3, Django's connection, or a Session or Connection of SQLAlchemy on psycopg
    3. The jobs run in the transaction that is open there, so jobs are seen that are not committed, and all is undone with it.
    None: connections of steve's own. If it is not given, a manager of `steve.contrib.django` uses Django's connection, and any
    other one connections of steve's own.
    `queues`, `types`: only the jobs of these. None: of the manager's queues, and of all types that have a handler.
    `scheduled`: also run jobs that are not due yet, retries and snoozed ones included, in the order of their times. Nothing
    sleeps.
    `raise_errors`: raise what a handler raised, as soon as the outcome is written. `Snooze`, `Cancel` and a `Retry` that is
    not the last attempt are no errors. If a job failed without an exception that can be raised, it is JobFailed. False: the
    errors are in what is returned.
    `max_jobs`: after so many jobs, 1 or more, DrainLimitExceeded is raised if more are due.

    In a transaction, a handler whose statement failed and that did not roll back loses all that this run has written: the
    transaction goes back to a savepoint.

    Raises ValueError if there is no handler, NotRunning inside a handler, TypeError, SchemaError and Unavailable. On a caller's
    connection the errors of the driver come through.
    """
    if isinstance(max_jobs, bool) or not isinstance(max_jobs, int):
        raise TypeError(f"max_jobs must be an int, not {type(max_jobs).__name__}")
    if max_jobs < 1:
        raise ValueError(f"max_jobs must be 1 or more, not {max_jobs}")
    _check_no_handler_runs()
    ran: list[Ran] = []
    drained = manager._inline.drain(
        connection=connection_for(manager, connection),
        queues=names("queues", queues),
        types=names("types", types),
        scheduled=scheduled,
        most=max_jobs,
    )
    with closing(drained):  # also if this raises: its row is deleted, its thread ends
        for one in drained:
            if len(ran) == max_jobs:
                raise DrainLimitExceeded(_over_limit(ran, max_jobs), ran)
            verdict, error = one.verdict, one.error()
            ran.append(
                Ran(
                    job=one.job,
                    attempt=verdict.job.attempts,
                    error=error,
                    due_in=verdict.due_in if one.is_written else None,
                    snoozed=one.is_written and not verdict.counts,
                    dropped=not one.is_written,
                )
            )
            if (
                raise_errors
                and not isinstance(error, Retry)
                and verdict.error is not None
                and one.job.status != Status.CANCELLED
            ):
                _raise(ran[-1], verdict.error)
            elif raise_errors and one.job.status == Status.FAILED:
                _raise(ran[-1], one.job.error or "")
    return ran


def clear(manager: JobManager, connection: object = DEFAULT) -> None:
    """Delete all jobs of the manager's schema, and what is kept beside them: attempts, logs, schedules, pauses, figures. It is
    for tests that commit; what a transaction has written is gone with its rollback.

    `connection`: as for `drain`. Raises TypeError, SchemaError and Unavailable, or the errors of the driver.
    """
    manager._inline.empty(connection_for(manager, connection))


def names(what: str, given: str | Iterable[str] | None) -> list[str] | None:
    """The names of types or queues, from one or several. Raises TypeError and ValueError."""
    if given is None:
        return None
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Iterable):
        raise TypeError(f"{what} must be a name, a list of names or None, not {type(given).__name__}")
    found = list(given)
    if not found:
        raise ValueError(f"{what} is empty: name at least one, or pass None for all")
    for one in found:
        if not isinstance(one, str):
            raise TypeError(f"{what} must hold names, not {type(one).__name__}")
    return found


def _raise(ran: Ran, message: str) -> None:
    error = ran.error
    if error is None:
        raise JobFailed(message, ran.job)
    note = f"in attempt {ran.attempt} of job {ran.job.uid} ({ran.type!r}), which drain() ran; it is {ran.status} now"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
    raise error


def _over_limit(ran: Sequence[Ran], most: int) -> str:
    counts = Counter((one.type, one.snoozed, one.due_in is not None) for one in ran)
    lines = []
    for (type, snoozed, again), count in counts.most_common(5):
        what = "snoozed" if snoozed else "to be tried again" if again else "ended"
        lines.append(f"{type!r} {count} times ({what})")
    return (
        f"drain() has run {most} jobs, and more are due: {', '.join(lines)}. If this is no loop of jobs that snooze or create "
        "one another, raise max_jobs"
    )


def _check_no_handler_runs() -> None:
    try:
        run = current_run()
    except NotRunning:
        return
    raise NotRunning(f"drain() was called in the handler of job {run.job.uid}: call it in the test")
