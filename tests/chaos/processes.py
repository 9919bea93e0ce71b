"""The processes that work, create and migrate, from the driver's side: started, told, harmed, replaced, ended.

What they are told and answer: worker.py, creator.py, migrator.py. They end with their stdin; where they cannot (stopped by
a signal, say), the warden sees to it.
"""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .options import CreatorOptions, MigratorOptions, WorkerOptions

ROOT = Path(__file__).parents[2]

ANSWER_SECONDS = 60.0
"""How long a process may take to start, or to stop."""

Options = WorkerOptions | CreatorOptions | MigratorOptions


class ProcessFailed(Exception):
    """A process ended, or did not answer; with what it wrote."""


class Warden:
    """The driver's end of warden.py's stdin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a line at a time
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warden.py"))],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def watch(self, pid: int, number: int = signal.SIGKILL) -> None:
        self._tell(f"+ {pid} {int(number)}")

    def forget(self, pid: int) -> None:
        self._tell(f"- {pid}")

    def close(self) -> None:
        self._process.communicate()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


class Process:
    """A Python module as a process, told options and orders line by line, each answered with one line of JSON."""

    def __init__(self, module: str, options: Options, warden: Warden) -> None:
        self.options = options
        self.module = module
        self._warden = warden
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.chaos.{module}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for the driver
        )
        self.pid = self._process.pid
        warden.watch(self.pid)
        self.tell(json.dumps(asdict(options)))

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

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self) -> int | None:
        """Its exit code; None: it lives."""
        return self._process.poll()

    def wait(self, seconds: float = ANSWER_SECONDS) -> int:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise self._failure(f"did not end within {seconds:g} s") from None

    def wrote(self) -> str:
        """Its log."""
        self._errors.seek(0)
        return self._errors.read()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._warden.forget(self.pid)
        self._errors.close()

    def _failure(self, what: str) -> ProcessFailed:
        return ProcessFailed(f"{self.module} {self.pid} {what}: {self.wrote()[-2000:]}")
