"""Draws the counts of progress.py: as a panel in a terminal, otherwise as a line now and then."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from steve.demo.progress import Progress

_WIDEST = 100


class Display:
    """Draws whenever `show` is called, from entering the `with` block to leaving it."""

    def __init__(self, progress: Progress, title: str, console: Console, line_seconds: float) -> None:
        self._progress = progress
        self._title = title
        self._console = console
        self._line_seconds = line_seconds
        self._next_line = time.monotonic() + line_seconds
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        if self._live:
            self._console.print()
            try:
                self._live.start()
                self.show()
            except BaseException:  # Ctrl-C, for example: __exit__ is not called if __enter__ raises
                self._live.stop()
                raise
        else:
            self._console.print(self._title, markup=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        try:
            self.show(last=True)
        finally:
            if self._live:
                self._live.stop()

    def show(self, last: bool = False) -> None:
        """Draws the present counts. `last`: print a line even if the previous one is recent."""
        if self._live:
            self._live.update(self._panel(), refresh=True)
        elif last or time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + self._line_seconds
            self._console.print(self._line(), markup=False, soft_wrap=True)

    def _line(self) -> str:
        now = self._progress
        return (
            f"{now.ended:,} of {now.total:,}: {now.done:,} done, {now.failed:,} failed, {now.retrying:,} retrying, "
            f"{now.jobs_per_second:,.0f} jobs/s"
        )

    def _panel(self) -> Panel:
        now = self._progress
        bar = Table.grid(expand=True, padding=(0, 2, 0, 0))
        bar.add_column(ratio=1)
        bar.add_row(
            ProgressBar(total=max(now.total, 1), completed=now.ended, complete_style="cyan", finished_style="green"),
            Text(f"{now.ended:,} of {now.total:,}", "bold"),
            Text(f"{now.seconds:.1f} s"),
        )
        counts = Table.grid(expand=True)
        for _ in range(4):
            counts.add_column(ratio=1)
        counts.add_row(
            _count(now.done, "done", "green"),
            _count(now.failed, "failed", "red"),
            _count(now.retrying, "retrying", "yellow"),
            _count(round(now.jobs_per_second), "jobs/s", "cyan"),
        )
        return Panel(
            Group(bar, Text(), counts, Text(), self._latest()),
            title=Text(self._title, "bold"),
            title_align="left",
            border_style="blue",
            padding=(1, 2),
            width=min(self._console.width, _WIDEST),
        )

    def _latest(self) -> Text:
        """One line: how many retries there were, and the reason for the latest."""
        now = self._progress
        if now.latest is None:
            return Text("no retries yet", "dim")
        file, error = now.latest
        text = Text(f"{now.retries:,} retries", "yellow", no_wrap=True, overflow="ellipsis")
        return text.append(f"  latest: {file}: {error.splitlines()[0] if error else ''}", "dim")


def _count(number: int, what: str, color: str) -> Text:
    return Text.assemble((f"{number:,}", f"bold {color}" if number else "dim"), " ", what)
