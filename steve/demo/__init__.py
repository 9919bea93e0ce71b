"""The demo: it runs one job for every text file under a folder, shows the progress, and sums up what the database recorded.

`python -m steve demo` calls it. It uses only public names, as any user of steve would.

    files.py      finds the text files, and says which type of job a file gets
    database.py   makes the place to work: an embedded PostgreSQL, or a schema for the demo in a database of yours
    catalog.py    the catalog that every job needs; it is closed for a moment, which causes the retries
    measure.py    the handlers: hash and count one file, and enter it into the catalog
    broken.py     three files that cannot be decoded, for folders that have none
    progress.py   counts, in listeners, what becomes of the jobs while they run
    display.py    draws these counts in a terminal, or prints a line now and then
    summary.py    at the end, reads what the database recorded and prints it
    tuning.py     the numbers, which tests make smaller
    interrupt.py  lets Ctrl-C and SIGTERM end the demo
    logs.py       shows steve's warnings above the progress display
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from steve import JobManager, NewJob
from steve.demo.broken import broken_files
from steve.demo.catalog import Catalog
from steve.demo.database import prepared
from steve.demo.display import Display
from steve.demo.files import Found, find_files, type_of
from steve.demo.interrupt import interruptible_once
from steve.demo.logs import warnings_on
from steve.demo.measure import handlers_with
from steve.demo.progress import Progress
from steve.demo.summary import print_summary
from steve.demo.tuning import DEFAULTS, Tuning


def run(
    folder: Path | None,
    database_url: str | None,
    *,
    schema: str,
    workers: int,
    console: Console | None = None,
    tuning: Tuning = DEFAULTS,
) -> int:
    """Runs the demo and returns its exit code. `folder`: None means the standard library of the running Python."""
    console = console or Console(highlight=False)
    try:
        with interruptible_once(), warnings_on(console):
            found = find_files(folder)
            _introduce(found, tuning, console)
            with prepared(database_url, schema) as database:
                title = f"{database.description}, {workers} worker{'s' * (workers != 1)}"
                catalog = Catalog(closes_after=len(found.files) // 4, seconds=tuning.closed_seconds)
                manager = JobManager(database.conninfo, handlers=handlers_with(catalog), schema=schema, retry=tuning.retry)
                try:
                    _work(manager, found, workers, title, console, tuning)
                finally:
                    manager.stop(timeout=30)
    except KeyboardInterrupt:
        console.print("Interrupted: the running jobs have ended, and nothing is left behind.")
        return 130
    return 0


def _introduce(found: Found, tuning: Tuning, console: Console) -> None:
    console.print(Text(f"{len(found.files):,} text files under {found.folder}", "bold"))
    if found.left_out:
        console.print(Text("Left out: " + "; ".join(f"{what} ({number:,})" for what, number in found.left_out.items()), "dim"))
    console.print(
        "One job for each file hashes it, counts its lines and words, and enters it into a catalog. On the way the demo closes "
        f"the catalog for {tuning.closed_seconds:g} s: a job that needs it then raises an error, and steve tries the job again "
        f"later. A job whose file cannot be decoded fails for good after {tuning.retry.max_attempts} attempts."
    )


def _work(manager: JobManager, found: Found, workers: int, title: str, console: Console, tuning: Tuning) -> None:
    with Progress(manager, found.label) as progress:
        manager.start(workers)
        progress.expect(len(found.files))
        with Display(progress, title, console, tuning.line_seconds) as display:
            _run_jobs(manager, found.files, progress, display, tuning)
            if not progress.failed:
                with broken_files() as broken:
                    console.print(f"None of these jobs failed, so the demo adds {len(broken)} broken files of its own.")
                    progress.expect(len(broken))
                    _run_jobs(manager, broken, progress, display, tuning)
    print_summary(manager, found.label, console, tuning.page)


def _run_jobs(manager: JobManager, files: Sequence[Path], progress: Progress, display: Display, tuning: Tuning) -> None:
    """Creates a job for each file, and returns when all jobs have ended. `progress` must expect that many jobs."""
    for first in range(0, len(files), tuning.jobs_at_once):
        some = files[first : first + tuning.jobs_at_once]
        manager.create_many(NewJob(type_of(path), {"path": str(path)}) for path in some)
        display.show()
    while not progress.wait(0.1):
        display.show()
