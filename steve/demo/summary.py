"""Prints what the database recorded, when all jobs have ended: two tables, the errors, the throughput.

It reads the jobs with `fetch_all` and the attempts with `history`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from steve import Job, JobManager, Status

_MOST_REASONS = 5
_COLORS = {"completed": "green", "success": "green", "failed": "red", "error": "yellow"}


def print_summary(manager: JobManager, label: Callable[[str], str], console: Console, page: int) -> None:
    """Reads every job once, `page` jobs in one call, and prints. `label`: turns a file's path into its name on the screen."""
    jobs = list(_all_jobs(manager, page))
    console.print()
    console.print(_by_type(jobs))
    console.print(Text("Times are from a job's first attempt to its end, waits before retries included.", "dim"))
    _print_errors([job for job in jobs if job.status is Status.FAILED], label, console)
    lives = [job for job in jobs if job.attempts > 1]
    if lives:
        console.print()
        # A retried job that was completed in the end is a better example than one that failed.
        console.print(_life(manager, max(lives, key=lambda job: (job.status is Status.COMPLETED, job.attempts)), label))
    console.print(_throughput(jobs))


def _all_jobs(manager: JobManager, size: int) -> Iterator[Job]:
    page = manager.fetch_all(limit=size)
    while page:
        yield from page
        page = manager.fetch_all(limit=size, before=page[-1])


def _by_type(jobs: Sequence[Job]) -> Table:
    groups: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        groups[job.type, str(job.status)].append(job)
    table = _table("Jobs by type and status", "type", "status", ">jobs", ">attempts", ">retried", ">median", ">longest")
    for (type_, status), group in sorted(groups.items()):
        table.add_row(type_, _colored(status), *_figures(group))
    table.add_section()
    table.add_row("all", "", *_figures(jobs))
    return table


def _figures(jobs: Sequence[Job]) -> list[str]:
    counts = (len(jobs), sum(job.attempts for job in jobs), sum(job.attempts > 1 for job in jobs))
    seconds = [_seconds(job) for job in jobs]
    return [*(f"{count:,}" for count in counts), _duration(median(seconds)), _duration(max(seconds))]


def _seconds(job: Job) -> float:
    """The time from the first attempt to the end of the job; 0 if one of them is not known."""
    if job.started_at is None or job.completed_at is None:
        return 0.0
    return (job.completed_at - job.started_at).total_seconds()


def _print_errors(failed: Sequence[Job], label: Callable[[str], str], console: Console) -> None:
    """Prints the reasons of failures. Errors that differ only in the byte and its position are printed once."""
    if not failed:
        return
    groups: dict[str, list[Job]] = defaultdict(list)
    for job in failed:
        groups[re.sub(r"\b(bytes?|position) [\w-]+", r"\1 …", job.error or "")].append(job)
    console.print()
    console.print(Text(f"{len(failed):,} failed, after {max(job.attempts for job in failed)} attempts each", "bold"))
    most_first = sorted(groups.values(), key=len, reverse=True)
    for jobs in most_first[:_MOST_REASONS]:
        first = jobs[-1]  # the oldest: pages come newest first
        others = f", and {len(jobs) - 1:,} like it" * (len(jobs) > 1)
        console.print(Padding(Text.assemble((label(first.payload["path"]), "red"), others), (0, 0, 0, 2)))
        console.print(Padding(Text(first.error or ""), (0, 0, 0, 6)))
    if rest := sum(map(len, most_first[_MOST_REASONS:])):
        console.print(Padding(Text(f"{rest:,} more, for other reasons"), (0, 0, 0, 2)))


def _life(manager: JobManager, job: Job, label: Callable[[str], str]) -> Table:
    """A table of one job's attempts, from `history`: when each began, how long it took, and how it ended."""
    table = _table(
        f"One job, attempt by attempt: {label(job.payload['path'])}", ">attempt", ">began", ">took", "status", "error"
    )
    for attempt in (attempts := manager.history(job)):
        began = (attempt.started_at - attempts[0].started_at).total_seconds()
        took = (attempt.completed_at - attempt.started_at).total_seconds() if attempt.completed_at else 0.0
        table.add_row(
            f"{attempt.number}",
            f"+{began:.2f} s",
            _duration(took),
            _colored(str(attempt.status)),
            Text(attempt.error_message or ""),
        )
    return table


def _throughput(jobs: Sequence[Job]) -> Text:
    """The throughput from the first job's creation to the last job's end, by the database's clock."""
    ends = [job.completed_at for job in jobs if job.completed_at is not None]
    begun = min(job.created_at for job in jobs)
    seconds = max((max(ends) - begun).total_seconds(), 0.001)
    busiest = max(Counter(int((end - begun).total_seconds()) for end in ends).values())
    return Text(
        f"{len(jobs):,} jobs in {seconds:.1f} s, waits included: {len(jobs) / seconds:,.0f} jobs/s, "
        f"{busiest:,} in the busiest second",
        "bold",
    )


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"


def _colored(status: str) -> Text:
    return Text(status, _COLORS.get(status, ""))


def _table(title: str, *columns: str) -> Table:
    """An empty table. A column whose name begins with `>` is for numbers."""
    table = Table(title=Text(title, "bold"), title_justify="left", box=SIMPLE_HEAD)
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left")
    return table
