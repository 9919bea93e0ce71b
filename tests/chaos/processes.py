"""The driver's side of the processes that work, create and migrate: starts them, sends them orders and signals, ends them.

worker.py, creator.py and migrator.py say which orders they take and what they answer. They end when their stdin is closed.
Where they cannot, because a signal has stopped them for example, the warden ends them.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.child import ANSWER_SECONDS, Child

from .options import CreatorOptions, MigratorOptions, TickerOptions, WorkerOptions

Options = WorkerOptions | CreatorOptions | MigratorOptions | TickerOptions


class Warden:
    """Starts warden.py and tells it which processes to watch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # so that lines do not mix
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


class Process(Child):
    """A process that runs a module of this folder, and gets its options in the first line."""

    def __init__(
        self, module: str, options: Options, warden: Warden, within: Sequence[str] = (), python: str = sys.executable
    ) -> None:
        """`within`: a command that runs the process, such as `env`."""
        super().__init__(module, [*within, python, "-m", f"tests.chaos.{module}"])
        self.options = options
        self._warden = warden
        warden.watch(self.pid)
        self.tell(json.dumps(asdict(options)))

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self) -> int | None:
        """The exit code; None: the process still runs."""
        return self._process.poll()

    def wait(self, seconds: float = ANSWER_SECONDS) -> int:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise self._failure(f"did not end within {seconds:g} s") from None

    def end(self) -> None:
        self._warden.forget(self.pid)
        super().end()
