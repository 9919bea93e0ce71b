"""What the database says when all jobs have ended, as tables: read back with `fetch_all` and `history`."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from heapq import nlargest
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from steve import Job, JobManager, Status

_PAGE = 1000
_SUMS = ("jobs", "attempts", "bytes", "lines", "words")


def print_summary(manager: JobManager, folder: Path, console: Console) -> None:
    """Reads every job once and prints the tables; files are named from `folder` on."""
    jobs = list(_all_jobs(manager))
    failed = [job for job in jobs if job.status is Status.FAILED]
    console.print(_by_type(jobs))
    console.print(_slowest([job for job in jobs if job.status is Status.COMPLETED], folder))
    if failed:
        console.print(_errors(failed, folder))
        console.print(_history(manager, failed[-1], folder))


def _all_jobs(manager: JobManager) -> Iterator[Job]:
    page = manager.fetch_all(limit=_PAGE)
    while page:
        yield from page
        page = manager.fetch_all(limit=_PAGE, before=page[-1])


def _by_type(jobs: list[Job]) -> Table:
    sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for job in jobs:
        counted = {name: job.result[name] for name in ("bytes", "lines", "words")} if job.result else {}
        for group in ((job.type, str(job.status)), ("all", "")):
            sums[group].update(jobs=1, attempts=job.attempts, **counted)
    everything = sums.pop(("all", ""))
    table = _table("By type and status", "type", "status", *(f">{name}" for name in _SUMS))
    for (type_, status), row in sorted(sums.items()):
        table.add_row(type_, status, *(f"{row[name]:,}" for name in _SUMS))
    table.add_section()
    table.add_row("all", "", *(f"{everything[name]:,}" for name in _SUMS))
    return table


def _slowest(completed: list[Job], folder: Path) -> Table:
    table = _table("The slowest that completed", ">ms", ">bytes", "encoding", "file")
    for job in nlargest(5, completed, key=lambda job: job.result["milliseconds"]):
        result = job.result
        table.add_row(f"{result['milliseconds']:,.1f}", f"{result['bytes']:,}", result["encoding"], _file(job, folder))
    return table


def _errors(failed: list[Job], folder: Path) -> Table:
    """Errors that differ only in which byte it was, and where, share a row."""
    groups: dict[str, list[Job]] = defaultdict(list)
    for job in failed:
        groups[re.sub(r"\b(byte|position) [\w-]+", r"\1 …", job.error or "")].append(job)
    table = _table("Why the others failed", ">jobs", "error", "the first of them")
    for error, jobs in sorted(groups.items(), key=lambda group: -len(group[1]))[:10]:
        table.add_row(f"{len(jobs):,}", Text(error), _file(jobs[-1], folder))
    return table


def _history(manager: JobManager, job: Job, folder: Path) -> Table:
    """What `history` knows of one job, and with it how long steve waited between the attempts."""
    attempts = manager.history(job)
    table = _table(f"One of them, attempt by attempt: {_file(job, folder)}", ">attempt", ">seconds", "status", "error")
    for attempt in attempts:
        since = (attempt.started_at - attempts[0].started_at).total_seconds()
        table.add_row(f"{attempt.number}", f"+{since:.2f}", str(attempt.status), Text(attempt.error_message or ""))
    return table


def _table(title: str, *columns: str) -> Table:
    """A column whose name begins with `>` is of numbers."""
    table = Table(title=Text(title, "bold"), title_justify="left", box=SIMPLE_HEAD)
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left")
    return table


def _file(job: Job, folder: Path) -> Text:
    return Text(
        str(Path(job.payload["path"]).relative_to(folder)), overflow="fold"
    )  # Text: a path may hold [brackets], which rich takes for markup
