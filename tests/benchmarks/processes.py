"""The processes that work and create, from the benchmark's side: started, released together, waited for, ended.

What they are told and answer: worker.py, creator.py and peers/driver.py. None outlives the benchmark: they end with their
stdin.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import psutil

from .board import Board
from .options import CreatorOptions, WorkerOptions

ROOT = Path(__file__).parents[2]

ANSWER_SECONDS = 120.0
"""How long a process may take to start or to stop."""


class ProcessFailed(Exception):
    """A process ended, or did not answer; with what it wrote."""


class Process:
    """A program as a process, told options and orders line by line, each answered with one line of JSON.

    `name`: what it is, for messages. `environ`: variables beside our own.
    """

    def __init__(
        self, name: str, command: Sequence[str], options: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> None:
        self._name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by end()
        # A session of its own: Ctrl-C in the terminal is for the benchmark, which ends it.
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | dict(environ or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        self.stats = psutil.Process(self._process.pid)
        self.tell(json.dumps(options))

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure("ended") from None

    def answer(self, seconds: float = ANSWER_SECONDS) -> Any:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise self._failure(f"did not answer for {seconds:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise self._failure("ended")
        return json.loads(line)

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

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _failure(self, what: str) -> ProcessFailed:
        self._errors.seek(0)
        return ProcessFailed(f"a {self._name} {what}: {self._errors.read()[-2000:]}")


def _python(module: str, options: WorkerOptions | CreatorOptions) -> Process:
    return Process(module, [sys.executable, "-m", f"tests.benchmarks.{module}"], asdict(options))


class Workers:
    """So many worker processes with the same options, in a `with` block; what they still run at its end is killed."""

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
        """Release them together; when, by time.monotonic(), the first was about to call manager.start()."""
        for process in self.processes:
            process.tell("start")
        return float(min(process.answer() for process in self.processes)) / 1e9

    def stop(self) -> list[dict[str, Any]]:
        """Their StopReports."""
        for process in self.processes:
            process.tell("stop")
        return [process.answer() for process in self.processes]

    def wait(self, board: Board, jobs: int, seconds: float) -> None:
        """Until handlers of the first `jobs` jobs on the board have begun. Looks at the board only."""
        deadline = time.monotonic() + seconds
        reached = 0
        while 0 <= (reached := board.first_not_run(reached)) < jobs:
            for process in self.processes:
                process.check()
            if time.monotonic() > deadline:
                raise ProcessFailed(f"after {seconds:g} s job {reached} of {jobs} had not run")
            time.sleep(0.005)


def create(options: CreatorOptions) -> float:
    """Have a process create jobs; the seconds that took."""
    with creating(options) as process:
        return float(process.answer(600))


@contextmanager
def creating(options: CreatorOptions) -> Iterator[Process]:
    """The same meanwhile: its `answer` comes when it is done."""
    process = _python("creator", options)
    try:
        yield process
    finally:
        process.end()
