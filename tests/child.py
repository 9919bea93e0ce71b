"""A child process that takes orders from its stdin, one a line, and answers each with a line of JSON. The benchmarks and the
chaos tests start their programs as such children.
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
"""How long a process may take to answer, or to end."""


class ProcessFailed(Exception):
    """A process ended, or did not answer. The message contains what it wrote to stderr."""


class Child:
    """`name`: for messages. `environ`: variables in addition to ours. The program must end when its stdin is closed."""

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
            start_new_session=True,  # so that Ctrl-C in the terminal reaches only the parent
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
        """What the process has written to stderr."""
        self.errors.seek(0)
        return self.errors.read()

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.communicate()
        self.errors.close()

    def _failure(self, what: str) -> ProcessFailed:
        return ProcessFailed(f"{self._name} {self.pid} {what}: {self.wrote()[-2000:]}")
