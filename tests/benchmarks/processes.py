"""The benchmark's side of the processes that work and create: starts them, releases them together, waits for them, ends them.

worker.py, creator.py and peers/driver.py say which orders they take and what they answer. They end when their stdin is closed,
so none outlives the benchmark.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import psutil

from tests.child import Child, ProcessFailed

from .board import Board
from .options import CreatorOptions, WorkerOptions


class Process(Child):
    """A Child that gets its options in the first line, and whose use of processor and memory can be read."""

    def __init__(
        self, name: str, command: Sequence[str], options: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(name, command, environ)
        self.stats = psutil.Process(self.pid)
        self.tell(json.dumps(options))

    def check(self) -> None:
        """Raises ProcessFailed if it ended by itself."""
        if self._process.poll() is not None:
            raise self._failure("ended")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        times = self.stats.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> float:
        """MB resident, without the board, which on Linux counts as shared memory."""
        status = Path(f"/proc/{self._process.pid}/status")
        if not status.exists():
            return float(self.stats.memory_info().rss / 1e6)
        sizes = {line.split(":")[0]: line.split() for line in status.read_text().splitlines()}
        return sum(int(sizes[name][1]) for name in ("RssAnon", "RssFile")) * 1024 / 1e6


def _python(module: str, options: WorkerOptions | CreatorOptions) -> Process:
    return Process(module, [sys.executable, "-m", f"tests.benchmarks.{module}"], asdict(options))


class Workers:
    """Worker processes with the same options, in a `with` block. Those that still run at its end are killed."""

    def __init__(self, options: WorkerOptions, processes: int = 1) -> None:
        self._options = options
        self._count = processes
        self.processes: list[Process] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(self._count):
                self.processes.append(_python("worker", self._options))
            for process in self.processes:
                process.answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.end()

    def start(self) -> float:
        """Let all call manager.start(). Returns when the first one was about to, by time.monotonic()."""
        for process in self.processes:
            process.tell("start")
        return float(min(process.answer() for process in self.processes)) / 1e9

    def stop(self) -> list[dict[str, Any]]:
        """Stop all, and return what their StopReports say."""
        for process in self.processes:
            process.tell("stop")
        return [process.answer() for process in self.processes]

    def wait(self, board: Board, jobs: int, seconds: float) -> None:
        """Wait until handlers of the first `jobs` jobs on the board have begun. Reads nothing but the board."""
        deadline = time.monotonic() + seconds
        reached = 0
        while 0 <= (reached := board.first_not_run(reached)) < jobs:
            for process in self.processes:
                process.check()
            if time.monotonic() > deadline:
                raise ProcessFailed(f"after {seconds:g} s job {reached} of {jobs} had not run")
            time.sleep(0.005)


def create(options: CreatorOptions) -> float:
    """Let a process create jobs. Returns the seconds that it took."""
    with creating(options) as process:
        return float(process.answer(600))


@contextmanager
def creating(options: CreatorOptions) -> Iterator[Process]:
    """A process that creates jobs during the block. Its `answer` comes when it is done."""
    process = _python("creator", options)
    try:
        yield process
    finally:
        process.end()
