"""A program in a process of its own that takes orders line by line and answers each with one line of JSON: what the benchmarks
and the chaos tests start.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

ANSWER_SECONDS = 120.0
"""A process may take so long to start or to stop."""


class ProcessFailed(Exception):
    """A process ended, or did not answer. The message has what it wrote."""


class Child:
    """`name`: what it is, for messages. `environ`: variables besides our own. The program must end when its stdin does."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        self._name = name
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | dict(environ or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for the program that starts it
        )
        self.pid = self._process.pid

    def tell(self, line: str) -> None:
        """Send an order. Raises ProcessFailed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure("ended") from None

    def answer(self, seconds: float = ANSWER_SECONDS) -> Any:
        """The next answer, within so many seconds. Raises ProcessFailed."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise self._failure(f"did not answer for {seconds:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise self._failure("ended")
        return json.loads(line)

    def wrote(self) -> str:
        """What it has written to stderr."""
        self.errors.seek(0)
        return self.errors.read()

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.communicate()
        self.errors.close()

    def _failure(self, what: str) -> ProcessFailed:
        return ProcessFailed(f"{self._name} {self.pid} {what}: {self.wrote()[-2000:]}")
