"""What is done with jobs: `jobs create`, `retry`, `cancel`, `run-now`, `delete`; by their uids, or all that match filters."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import UUID

from steve import Changed, Job, NotPossible, Status
from steve.cli.arguments import age, count, moment, payload, positive, tag, uid
from steve.cli.command import (
    DONE,
    ERROR,
    NOTHING_FOUND,
    PARTLY,
    Command,
    Interrupted,
    UsageError,
    add_parser,
    ctrl_c_between_steps,
)
from steve.cli.filters import add_filters, filters_of
from steve.cli.jobs import JOB_COLUMNS, UID, pages, row_of
from steve.cli.output import Column

if TYPE_CHECKING:
    from steve import JobManager

CHANGED_COLUMNS = [Column("done", is_number=True), Column("skipped", is_number=True), Column("dry_run")]
ACTED_COLUMNS = [UID, Column("did"), Column("status", is_whole=True), Column("type"), Column("note")]
SKIPPED = "It skips jobs that others have locked, and retries none whose unique key another job has."
OPEN = [Status.PENDING.value, Status.RUNNING.value]
ENDED = [Status.COMPLETED.value, Status.FAILED.value, Status.CANCELLED.value]
EVERY = 0.2
"""Seconds between two lines of progress on a terminal."""


class Action(NamedTuple):
    """What `jobs VERB` does."""

    verb: str
    past: str
    statuses: list[str]
    """Which it may be asked for with --status."""
    one: Callable[[JobManager, UUID, Any], Job | None]
    all: Callable[..., Changed]
    """Called with the manager, the options, and the keywords of `cancel_all`."""


def add(jobs: Any) -> None:
    create = add_parser(jobs, "create", "store a job", "Stores a job, and prints it.")
    create.add_argument("type", metavar="TYPE")
    create.add_argument("payload", metavar="PAYLOAD", nargs="?", type=payload, help="a JSON object; @FILE; -: from stdin")
    create.add_argument("--queue")
    create.add_argument("--priority", metavar="N", type=int, help="-100 to 100")
    create.add_argument("--delay", metavar="AGE", type=age, help="due so long from now: 10m")
    create.add_argument("--run-at", metavar="TIME", type=moment, help="due then: 2030-01-31T12:00Z")
    create.add_argument("--max-attempts", metavar="N", type=count)
    create.add_argument("--timeout", metavar="SECONDS", type=positive, help="that an attempt may take")
    create.add_argument("--unique", metavar="KEY", help="while a job with this key has not ended, make no other")
    create.add_argument("--tag", metavar="NAME=VALUE", type=tag, action="append", dest="tags", help="may be repeated")
    create.set_defaults(run=_create)

    retry = _add_action(jobs, "retry", "run jobs again that failed or were cancelled", [*ENDED[1:], ENDED[0]], RETRY)
    retry.add_argument(
        "--attempts",
        metavar="N",
        type=count,
        help="they may fail so many more times; default: as many as when they were created",
    )
    retry.add_argument("--completed", action="store_true", help="also completed ones")
    cancel = _add_action(jobs, "cancel", "cancel pending jobs, ask running ones to stop", OPEN, CANCEL)
    cancel.add_argument("--reason", help="kept as the job's error")
    _add_action(jobs, "run-now", "make pending jobs due now that are due later", [Status.PENDING.value], RUN_NOW)
    _add_action(jobs, "delete", "delete jobs that have ended, with their attempts", ENDED, DELETE)


def _add_action(jobs: Any, name: str, help: str, statuses: list[str], action: Action) -> Any:
    parser = add_parser(
        jobs, name, help, f"{help[0].upper()}{help[1:]}: those with these UIDs, or with --all all that match. {SKIPPED}"
    )
    parser.add_argument("uids", metavar="UID", type=uid, nargs="*", help="of jobs: `steve jobs list` shows them")
    parser.add_argument("--all", action="store_true", help="all that match the filters, at least one of which must be given")
    add_filters(parser, statuses)
    how = parser.add_argument_group("with --all")
    how.add_argument("--limit", metavar="N", type=count, help="at most so many")
    how.add_argument("--dry-run", action="store_true", help="change nothing, print how many it would be")
    how.add_argument("--rate", metavar="N", type=positive, help="at most so many a second")
    how.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(run=lambda command: _act(command, action))
    return parser


def _create(command: Command) -> int:
    options = command.options
    with command.manager() as manager:
        job = manager.create(
            options.type,
            options.payload,
            queue=options.queue,
            priority=options.priority,
            delay=options.delay,
            run_at=options.run_at,
            max_attempts=options.max_attempts,
            timeout=options.timeout,
            unique=options.unique,
            tags=dict(options.tags) if options.tags else None,
        )
    command.output.rows(JOB_COLUMNS, [row_of(job)])
    if job.duplicate:
        command.output.say("there was a job with this key: nothing was stored")
    return DONE


def _act(command: Command, action: Action) -> int:
    options = command.options
    filters = filters_of(options)
    if options.all == bool(options.uids):
        raise UsageError("give UIDs, or --all and filters")
    if options.uids:
        if filters or options.limit or options.rate or options.dry_run:
            raise UsageError("UIDs and filters do not go together")
        return _act_on(command, action, options.uids)
    if not filters:
        raise UsageError("--all takes all that match: name at least one filter, such as --type or --status")
    return _act_on_all(command, action, filters)


# -- jobs by their uids ------------------------------------------------------------------------------------------------------


def _act_on(command: Command, action: Action, uids: list[UUID]) -> int:
    rows: list[dict[str, Any]] = []
    with command.manager() as manager, ctrl_c_between_steps() as came:
        for one in uids:
            rows.append(_acted(manager, action, one, command.options))
            if came:
                break
    command.output.rows(ACTED_COLUMNS, rows)
    if len(rows) < len(uids):
        raise Interrupted(f"interrupted: {len(uids) - len(rows)} jobs were not touched")
    did = sum(row["did"] for row in rows)
    if did == len(rows):
        return DONE
    if did:
        return PARTLY
    return NOTHING_FOUND if all(row["status"] is None for row in rows) else ERROR


def _acted(manager: JobManager, action: Action, one: UUID, options: Any) -> dict[str, Any]:
    try:
        job = action.one(manager, one, options)
    except NotPossible as error:
        return {"uid": one, "did": False, "status": error.job.status, "type": error.job.type, "note": str(error)}
    if job is None:
        return {"uid": one, "did": False, "status": None, "type": None, "note": "there is no such job"}
    return {"uid": one, "did": True, "status": job.status, "type": job.type, "note": action.past}


# -- all that match ----------------------------------------------------------------------------------------------------------


def _act_on_all(command: Command, action: Action, filters: dict[str, Any]) -> int:
    options, output = command.options, command.output
    with command.manager() as manager:
        if options.dry_run:
            changed = action.all(manager, options, **filters, limit=options.limit, dry_run=True, progress=None)
            output.record(CHANGED_COLUMNS, {"done": changed.done, "skipped": changed.skipped, "dry_run": True})
            output.say(f"{changed.done:,} jobs would be {action.past}")
            return DONE if changed.done else NOTHING_FOUND
        if not options.yes:
            would = action.all(manager, options, **filters, limit=options.limit, dry_run=True, progress=None)
            if not would.done:
                output.record(CHANGED_COLUMNS, {"done": 0, "skipped": would.skipped, "dry_run": False})
                output.say("no such jobs")
                return NOTHING_FOUND
            if not command.confirm(f"{action.verb} {would.done:,} jobs?"):
                output.say("nothing was changed")
                return ERROR
        progress = _Progress(command, action.past)
        with ctrl_c_between_steps() as came:
            progress.came = came
            try:
                with progress:
                    changed = action.all(
                        manager, options, **filters, limit=options.limit, rate=options.rate, dry_run=False, progress=progress
                    )
            except Interrupted:
                output.record(CHANGED_COLUMNS, {"done": progress.done, "skipped": 0, "dry_run": False})
                text = f"interrupted: {progress.done:,} jobs were {action.past}, the others were not touched"
                raise Interrupted(text) from None
    output.record(CHANGED_COLUMNS, {"done": changed.done, "skipped": changed.skipped, "dry_run": False})
    output.say(f"{changed.done:,} jobs {action.past}" + (f", {changed.skipped:,} skipped" if changed.skipped else ""))
    if not changed.done:
        return PARTLY if changed.skipped else NOTHING_FOUND
    return PARTLY if changed.skipped else DONE


class _Progress:
    """Is told how many jobs are done: shows it on a terminal, and ends the call after Ctrl-C."""

    def __init__(self, command: Command, past: str) -> None:
        self.done = 0
        self.came: list[int] = []
        self._past = past
        self._is_shown = sys.stderr.isatty() and not command.output.quiet
        self._next = 0.0

    def __call__(self, done: int) -> None:
        self.done = done
        if self._is_shown and (now := time.monotonic()) >= self._next:
            self._next = now + EVERY
            print(f"\r{done:,} {self._past}", end="\x1b[K", file=sys.stderr, flush=True)
        if self.came:
            raise Interrupted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Clear the line, for what is printed next."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _retry_all(manager: JobManager, options: Any, **keywords: Any) -> Changed:
    completed = options.completed or keywords.get("status") == Status.COMPLETED
    return manager.retry_all(attempts=options.attempts, completed=completed, **keywords)


def _run_all_now(
    manager: JobManager,
    options: Any,
    *,
    limit: int | None,
    dry_run: bool,
    progress: Callable[[int], Any] | None,
    rate: float | None = None,
    **filters: Any,
) -> Changed:
    """One by one, newest first: so it meets no job that is created meanwhile."""
    done = skipped = 0
    began = time.monotonic()
    for job in _due_later(manager, filters):
        if limit is not None and done >= limit:
            break
        if dry_run:
            done += 1
            continue
        if rate is not None:
            time.sleep(max(0.0, done / rate - (time.monotonic() - began)))
        try:
            done += manager.reschedule(job, delay=0) is not None
        except NotPossible:
            skipped += 1  # it has begun meanwhile
        if progress is not None:
            progress(done)
    return Changed(done, skipped)


def _due_later(manager: JobManager, filters: dict[str, Any]) -> Iterator[Job]:
    now = datetime.now(UTC)
    found = pages(manager, {**filters, "status": Status.PENDING}, sys.maxsize)
    return (job for job in found if job.run_at > now)


RETRY = Action(
    "retry",
    "retried",
    ENDED,
    lambda manager, one, options: manager.retry(one, options.attempts, options.completed),
    _retry_all,
)
CANCEL = Action(
    "cancel",
    "cancelled or asked to stop",
    OPEN,
    lambda manager, one, options: manager.cancel(one, options.reason),
    lambda manager, options, **keywords: manager.cancel_all(reason=options.reason, **keywords),
)
RUN_NOW = Action(
    "run now",
    "due now",
    OPEN[:1],
    lambda manager, one, options: manager.reschedule(one, delay=0),
    _run_all_now,
)
DELETE = Action(
    "delete",
    "deleted",
    ENDED,
    lambda manager, one, options: manager.delete(one),
    lambda manager, options, **keywords: manager.delete_all(**keywords),
)
