"""Which jobs were created: enqueued() lists them, and two assertions look for one. Their messages say which jobs there are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from steve import Job, JobManager, Status
from steve.testing.where import DEFAULT, connection_for

LISTED = 20
"""How many jobs a message shows, at most."""
PAGE = 1_000
SLACK = timedelta(seconds=1)
"""`run_at` may differ by this much, since a test computes it again."""


def enqueued(
    manager: JobManager,
    type: str | None = None,
    payload: Mapping[str, Any] | None = None,
    *,
    queue: str | None = None,
    priority: int | None = None,
    tags: Mapping[str, str | int] | None = None,
    unique: str | None = None,
    run_at: datetime | None = None,
    connection: object = DEFAULT,
) -> list[Job]:
    """The jobs that wait to be run, in the order of creation: of this type, queue, priority and `unique`, with all of these
    tags. None: whatever there is.

    `payload`: what the payload holds, at least: {"to": "ada"} is found in {"to": "ada", "copies": 2}. `run_at`: when the job is
    due, within a second.
    `connection`: as for `drain`. A job that was created in a transaction is seen only on that connection until the commit.
    Raises what `fetch_all` raises.
    """
    jobs = _pending(manager, type, queue, tags, connection)
    return [job for job in jobs if _fits(job, payload, priority, unique, run_at)]


def assert_enqueued(
    manager: JobManager,
    type: str | None = None,
    payload: Mapping[str, Any] | None = None,
    *,
    count: int | None = None,
    queue: str | None = None,
    priority: int | None = None,
    tags: Mapping[str, str | int] | None = None,
    unique: str | None = None,
    run_at: datetime | None = None,
    connection: object = DEFAULT,
) -> Job:
    """Raise AssertionError unless such a job waits to be run. Returns it, or the first of several.

    `count`: how many there must be. None: at least one. The others: as for `enqueued`.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    wanted = _wanted(type, payload, queue, priority, tags, unique, run_at)
    found = enqueued(
        manager, type, payload, queue=queue, priority=priority, tags=tags, unique=unique, run_at=run_at, connection=connection
    )
    if count is None and not found:
        raise AssertionError(f"no job {wanted}waits to be run; {_what_is_there(manager, connection)}")
    if count is not None and len(found) != count:
        text = f"{len(found)} jobs {wanted}wait to be run, not {count}"
        raise AssertionError(f"{text}; {_what_is_there(manager, connection)}")
    if not found:
        raise ValueError("assert_enqueued(count=0) has no job to return: use refute_enqueued")
    return found[0]


def refute_enqueued(
    manager: JobManager,
    type: str | None = None,
    payload: Mapping[str, Any] | None = None,
    *,
    queue: str | None = None,
    priority: int | None = None,
    tags: Mapping[str, str | int] | None = None,
    unique: str | None = None,
    run_at: datetime | None = None,
    connection: object = DEFAULT,
) -> None:
    """Raise AssertionError if such a job waits to be run. The arguments: as for `enqueued`."""
    __tracebackhide__ = True
    found = enqueued(
        manager, type, payload, queue=queue, priority=priority, tags=tags, unique=unique, run_at=run_at, connection=connection
    )
    if found:
        wanted = _wanted(type, payload, queue, priority, tags, unique, run_at)
        number = "a job" if len(found) == 1 else f"{len(found)} jobs"
        raise AssertionError(f"{number} {wanted}should not wait to be run:{_list(found)}")


def _pending(manager: JobManager, type: str | None, queue: str | None, tags: Any, connection: object) -> list[Job]:
    theirs = connection_for(manager, connection)
    jobs: list[Job] = []
    before: Job | None = None
    while True:
        page = manager.fetch_all(
            Status.PENDING, type=type, queue=queue, tags=tags, limit=PAGE, before=before, connection=theirs
        )
        jobs += page
        if len(page) < PAGE:
            return jobs[::-1]
        before = page[-1]


def _fits(
    job: Job, payload: Mapping[str, Any] | None, priority: int | None, unique: str | None, run_at: datetime | None
) -> bool:
    return (
        (payload is None or _holds(job.payload, payload))
        and (priority is None or job.priority == priority)
        and (unique is None or job.unique == unique)
        and (run_at is None or abs(job.run_at - run_at) <= SLACK)
    )


def _holds(there: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there: in an object other names may be, too. Tuples are lists in JSON."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(
            name in there and _holds(there[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return isinstance(there, list) and len(there) == len(wanted) and all(map(_holds, there, wanted))
    return bool(there == wanted)


def _wanted(
    type: str | None,
    payload: Mapping[str, Any] | None,
    queue: str | None,
    priority: int | None,
    tags: Mapping[str, str | int] | None,
    unique: str | None,
    run_at: datetime | None,
) -> str:
    said: dict[str, object] = {
        "payload": payload and dict(payload),
        "queue": queue,
        "priority": priority,
        "tags": tags and dict(tags),
    }
    said |= {"unique": unique, "run_at": run_at and run_at.isoformat()}
    parts = [] if type is None else [repr(type)]
    parts += [f"{name}={value!r}" for name, value in said.items() if value is not None]
    return " ".join([*parts, ""])


def _what_is_there(manager: JobManager, connection: object) -> str:
    jobs = _pending(manager, None, None, None, connection)
    if jobs:
        return f"these do:{_list(jobs)}"
    theirs = connection_for(manager, connection)
    ended = manager.fetch_all(limit=LISTED, connection=theirs)
    if ended:
        return f"none does; these jobs do not wait any more:{_list(ended[::-1])}"
    hint = "" if theirs is not None else " (a job of a transaction that is not committed is seen with connection= only)"
    return f"there is no job at all{hint}"


def _list(jobs: list[Job]) -> str:
    lines = [f"\n  {job.type!r} {_details(job)}" for job in jobs[:LISTED]]
    if len(jobs) > LISTED:
        lines.append(f"\n  and {len(jobs) - LISTED} more")
    return "".join(lines)


def _details(job: Job) -> str:
    text = repr(job.payload)
    said = [text if len(text) <= 200 else text[:199] + "…"]
    if job.queue != "default":
        said.append(f"queue={job.queue!r}")
    if job.priority:
        said.append(f"priority={job.priority}")
    if job.tags:
        said.append(f"tags={job.tags!r}")
    if job.unique is not None:
        said.append(f"unique={job.unique!r}")
    if job.run_at - job.created_at > SLACK:
        said.append(f"run_at={job.run_at.isoformat()}")
    if job.status != Status.PENDING:
        said.append(f"status={str(job.status)!r}")
    return " ".join(said)
