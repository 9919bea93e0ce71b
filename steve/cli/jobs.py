"""What jobs there are: `jobs list`, `show`, `logs`, `tail`; `why`, `failures`, `wait`."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from steve import Failures, Job, JobGone, LogLine, Pause, Status
from steve.cli.arguments import count, moment, positive, tag, tag_text, uid
from steve.cli.command import DONE, NOT_MET, NOTHING_FOUND, Command, add_parser
from steve.cli.filters import add_filters, filters_of
from steve.cli.output import Column
from steve.cli.redact import redacted
from steve.cli.text import duration, escaped, time_text

if TYPE_CHECKING:
    from steve import JobManager

UID = Column("uid", is_whole=True)
JOB_COLUMNS = [
    UID,
    Column("status", is_whole=True),
    Column("queue"),
    Column("type"),
    Column("priority", is_number=True, in_table=False),
    Column("attempts", is_number=True),
    Column("max_attempts", is_number=True, in_table=False),
    Column("crashes", is_number=True, in_table=False),
    Column("created_at", is_whole=True),
    Column("run_at", in_table=False),
    Column("started_at", in_table=False),
    Column("completed_at", in_table=False),
    Column("tags", in_table=False),
    Column("unique", in_table=False),
    Column("error"),
]
SHOWN_COLUMNS = [
    *(Column(column.name) for column in JOB_COLUMNS[:-1]),
    *map(Column, ("claimed_at", "updated_at", "expires_at", "cancel_asked_at", "timeout", "backoff_strategy", "progress")),
    *map(Column, ("payload", "metadata", "result", "error")),
    Column("history", in_table=False),
]
ATTEMPT_COLUMNS = [
    Column("number", is_number=True),
    Column("status", is_whole=True),
    Column("process"),
    Column("started_at", is_whole=True),
    Column("took", duration, is_number=True),
    Column("error_type"),
    Column("error_message"),
]
LOG_COLUMNS = [Column(name) for name in ("attempt", "at", "level", "logger", "message")]
REASON_COLUMNS = [Column("code", is_whole=True), Column("text"), Column("remedy")]
FAILURE_COLUMNS = [
    Column("jobs", is_number=True),
    Column("type"),
    Column("error"),
    Column("first", is_whole=True, in_table=False),
    Column("last", is_whole=True),
    Column("sample", is_whole=True),
    Column("part", in_table=False),
]
REMEDIES = {
    "not_due": "jobs run-now {uid}",
    "snoozed": "jobs run-now {uid}",
    "retry": "jobs run-now {uid}",
    "unwell": "processes",
    "failed": "jobs retry {uid}",
    "cancelled": "jobs retry {uid}",
}
"""By the code of a reason or the status of the job: the command that does what the remedy says, or helps with it."""
WAIT_COLUMNS = [UID, Column("status", is_whole=True), Column("type"), Column("error")]
OF_THE_JOB = "of the job: `steve jobs list` shows it"
FAILURES_MOST = 10_000
PAGE = 1_000


def add(commands: Any) -> Any:
    """Returns where the other commands of `jobs` are added."""
    group = commands.add_parser(
        "jobs",
        help="list, show, create, retry, cancel, delete jobs",
        description="Lists and shows jobs. Changes those with the UIDs that you give, or with --all all that match filters.",
    )
    jobs = group.add_subparsers(title="commands", required=True, metavar="COMMAND")

    listed = add_parser(jobs, "list", "list jobs, newest first")
    add_filters(listed)
    listed.add_argument("--limit", metavar="N", type=count, default=50, help="at most so many; default: 50")
    listed.add_argument("--before", metavar="UID", type=uid, help="only jobs that are older: the last one of the page before")
    listed.set_defaults(run=_list)

    show = add_parser(jobs, "show", "show all of a job, and its attempts")
    show.add_argument("uid", metavar="UID", type=uid, help=OF_THE_JOB)
    show.add_argument("--reveal", action="store_true", help="also passwords, tokens and the like")
    show.set_defaults(run=_show)

    logs = add_parser(jobs, "logs", "print what the attempts of a job have logged")
    logs.add_argument("uid", metavar="UID", type=uid, help=OF_THE_JOB)
    logs.add_argument("--attempt", metavar="N", type=count, help="only of this attempt")
    logs.set_defaults(run=_logs)

    tail = add_parser(jobs, "tail", "print what a job logs, until it has ended")
    tail.add_argument("uid", metavar="UID", type=uid, help=OF_THE_JOB)
    tail.set_defaults(run=_tail)
    return jobs


def add_why(commands: Any) -> None:
    why = add_parser(commands, "why", "say what keeps a job from running, or what became of it, and what to do")
    why.add_argument("uid", metavar="UID", type=uid, help=OF_THE_JOB)
    why.set_defaults(run=_why)


def add_failures(commands: Any) -> None:
    failures = add_parser(
        commands,
        "failures",
        "group failed jobs by their error",
        f"Groups the newest {FAILURES_MOST:,} failed jobs that match by type and error. Numbers, uuids and quoted texts in "
        "errors count as equal, and are shown as … where they differ. To run those of one error again, name its type, a part "
        "of its text without … and the span: steve jobs retry --all --status failed --type TYPE --error TEXT --ended-after 24h",
    )
    failures.add_argument("--since", metavar="TIME", type=moment, help="only jobs that failed since then: 24h, or a time")
    failures.add_argument("--type")
    failures.add_argument("--queue")
    failures.add_argument("--tag", metavar="NAME=VALUE", type=tag, action="append", dest="tags", help="may be repeated")
    failures.set_defaults(run=_failures)


def add_wait(commands: Any) -> None:
    wait = add_parser(
        commands,
        "wait",
        "wait until jobs have ended",
        "Waits until these jobs have ended, and prints how. The exit code is 0 if all of them completed, else 4.",
    )
    wait.add_argument("uids", metavar="UID", type=uid, nargs="+", help="of jobs: `steve jobs list` shows them")
    wait.add_argument("--timeout", metavar="SECONDS", type=positive, help="then end with the code 4")
    wait.set_defaults(run=_wait)


def row_of(job: Job) -> dict[str, Any]:
    return {column.name: getattr(job, column.name) for column in JOB_COLUMNS} | {"tags": redacted(job.tags)}


def pages(manager: JobManager, filters: dict[str, Any], limit: int, before: Job | None = None) -> Iterator[Job]:
    """At most so many jobs, newest first."""
    while limit > 0:
        page = manager.fetch_all(**filters, limit=min(limit, PAGE), before=before)
        yield from page
        if len(page) < min(limit, PAGE):
            return
        limit -= len(page)
        before = page[-1]


def _list(command: Command) -> int:
    options = command.options
    with command.manager() as manager:
        before = None
        if options.before is not None and (before := manager.find(options.before)) is None:
            raise LookupError(f"there is no job {options.before}")
        rows = [row_of(job) for job in pages(manager, filters_of(options), options.limit, before)]
        code = command.found(JOB_COLUMNS, rows, "no such jobs")
        if len(rows) == options.limit and command.output.form == "table":
            command.output.say(f"there may be more: --limit {options.limit * 10}, or --before {rows[-1]['uid']}")
        return code


def _show(command: Command) -> int:
    options, output = command.options, command.output
    with command.manager() as manager:
        if (job := manager.find(options.uid)) is None:
            return _none(command)
        hide: Callable[[Any], Any] = (lambda value: value) if options.reveal else redacted
        attempts: list[dict[str, Any]] = [
            {
                "number": attempt.number,
                "status": attempt.status,
                "process": attempt.process,
                "started_at": attempt.started_at,
                "completed_at": attempt.completed_at,
                "took": (attempt.completed_at or attempt.started_at) - attempt.started_at,
                "error_type": attempt.error_type,
                "error_message": attempt.error_message,
                "error_details": attempt.error_details,
            }
            for attempt in manager.history(job)
        ]
    row = {column.name: getattr(job, column.name, None) for column in SHOWN_COLUMNS}
    for name in ("payload", "metadata", "result", "tags"):
        row[name] = hide(row[name])
    if job.progress is not None:
        progress = job.progress
        row["progress"] = {"done": progress.done, "total": progress.total, "note": progress.note, "at": progress.at}
    row["history"] = attempts
    output.record(SHOWN_COLUMNS, row)
    if output.form == "table" and attempts:
        output.line("")
        output.rows(ATTEMPT_COLUMNS, attempts)
        for line in (attempts[-1]["error_details"] or "").splitlines():
            output.line("  " + escaped(line))
    return DONE


def _none(command: Command) -> int:
    """No such job. The output is pure all the same."""
    if command.output.form == "json":
        command.output.line("null")
    command.output.say(f"there is no job {command.options.uid}")
    return NOTHING_FOUND


def _log_rows(lines: Iterable[LogLine]) -> Iterator[dict[str, Any]]:
    for line in lines:
        yield {column.name: getattr(line, column.name) for column in LOG_COLUMNS}


def _log_text(row: dict[str, Any]) -> str:
    return f"{time_text(row['at'])} {row['level']} {row['logger']}: {row['message']}"


def _logs(command: Command) -> int:
    with command.manager() as manager:
        lines = manager.logs(command.options.uid, command.options.attempt)
        return _streamed(command, lines, manager)


def _tail(command: Command) -> int:
    with command.manager() as manager:
        return _streamed(command, manager.tail(command.options.uid), manager)


def _streamed(command: Command, lines: Iterable[LogLine], manager: JobManager) -> int:
    if command.output.stream(LOG_COLUMNS, _log_rows(lines), _log_text):
        return DONE
    known = manager.find(command.options.uid) is not None
    command.output.say("it has logged nothing that was kept" if known else f"there is no job {command.options.uid}")
    return NOTHING_FOUND


def _why(command: Command) -> int:
    with command.manager() as manager:
        why = manager.why(command.options.uid)
        pauses = manager.paused() if any(reason.code == "paused" for reason in why.reasons) else []
    if command.output.form == "table":
        for line in str(why).splitlines():
            command.output.line(escaped(line))
        commands = [
            shlex.join([*words.format(uid=why.uid).split(), *_place(command.options)])
            for code, words in REMEDIES.items()
            if code in (why.status, *(reason.code for reason in why.reasons))
        ]
        commands += [
            _resuming(pause, command.options)
            for pause in pauses
            if pause.queue in (None, why.queue) and pause.type in (None, why.type)
        ]
        for words in commands:
            command.output.say(f"on the command line: steve {escaped(words)}")
    else:
        rows = [{"code": one.code, "text": one.text, "remedy": one.remedy} for one in why.reasons]
        command.output.rows(REASON_COLUMNS, rows)
    return NOTHING_FOUND if why.status is None else DONE


def _resuming(pause: Pause, options: Namespace) -> str:
    what = [f"--type={pause.type}"] if pause.type else [] if pause.queue else ["--all"]
    return shlex.join(["queues", "resume", *what, *_place(options), *(["--", pause.queue] if pause.queue else [])])


def _failures(command: Command) -> int:
    options = command.options
    filters = filters_of(options)
    with command.manager() as manager:
        groups = manager.failures(options.since, **filters, limit=FAILURES_MOST)
    rows = [{column.name: getattr(group, column.name) for column in FAILURE_COLUMNS} for group in groups]
    code = command.found(FAILURE_COLUMNS, rows, "no job has failed")
    if sum(group.jobs for group in groups) == FAILURES_MOST:
        command.output.say(f"only the newest {FAILURES_MOST:,} were looked at: name a --type, a --queue or --since")
    elif rows:
        command.output.say(f"`steve jobs show {groups[0].sample}` shows a job of the first line")
        if groups[0].part:  # without a text it would retry all that failed
            command.output.say(f"to run those with its text again: steve {escaped(_retrying(groups[0], options))}")
    return code


def _retrying(group: Failures, options: Namespace) -> str:
    """The arguments that retry these jobs."""
    words = ["jobs", "retry", "--all", "--status", "failed", f"--type={group.type}", f"--error={group.part}"]
    words += [f"--queue={options.queue}"] if options.queue else []
    words += [f"--tag={tag_text(name, value)}" for name, value in options.tags or ()]
    words += [f"--ended-after={options.since.isoformat()}"] if options.since else []
    return shlex.join([*words, *_place(options), "--dry-run"])


def _place(options: Namespace) -> list[str]:
    """The schema, if it was named. The --database-url is not repeated: it may have a password."""
    schema = getattr(options, "schema", None)
    return [f"--schema={schema}"] if schema else []


def _wait(command: Command) -> int:
    options = command.options
    with command.manager() as manager:
        try:
            jobs = manager.wait_all(options.uids, options.timeout)
        except JobGone as error:
            command.output.rows(WAIT_COLUMNS, [])
            command.output.say(str(error))
            return NOTHING_FOUND
        except TimeoutError:
            command.output.say(f"not all have ended within {options.timeout:g} s")
            jobs = [job for one in options.uids if (job := manager.find(one)) is not None]
            command.output.rows(WAIT_COLUMNS, [_waited(job) for job in jobs])
            return NOT_MET
    command.output.rows(WAIT_COLUMNS, [_waited(job) for job in jobs])
    return DONE if all(job.status is Status.COMPLETED for job in jobs) else NOT_MET


def _waited(job: Job) -> dict[str, Any]:
    return {column.name: getattr(job, column.name) for column in WAIT_COLUMNS}
