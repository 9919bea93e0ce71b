"""For the tests of the command line and the embedded server: a directory for temporary files that must be empty at the end."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from steve.cli import main
from tests.conftest import until


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for temporary files, with a name short enough for a socket. After the test nothing may use it or be in it."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    folder.chmod(0o755)  # if we are root, the server runs as another user
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # Python's copy of it
    yield folder
    until(lambda: not processes_in(folder))
    left = list(folder.iterdir())
    shutil.rmtree(folder)
    assert left == []


def processes_in(folder: Path) -> list[psutil.Process]:
    """The processes whose command line names the folder."""
    processes = psutil.process_iter(["cmdline"])
    return [process for process in processes if str(folder) in " ".join(process.info["cmdline"] or [])]


def python(*arguments: str, to_be_interrupted: bool = False) -> subprocess.Popen[str]:
    """Start another Python, in a session of its own, with pipes for what it prints.

    `to_be_interrupted`: without coverage, because a KeyboardInterrupt within its code may leave its lock locked.
    """
    unmeasured = {"COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"} if to_be_interrupted else set()
    environment = {name: value for name, value in os.environ.items() if name not in unmeasured}
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment | {"PYTHONUNBUFFERED": "1"},
    )


HOSTILE = "\x1b[31m<b>[bold]\u202eevil\u2066\n=cmd\r\x07\u2028"
"""Sets a colour, turns the direction of the text, rings the bell, and has several lines."""


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def steve(
    database_url: str, schema: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """`steve("jobs", "list")` runs a command in this process, without a terminal."""
    monkeypatch.setenv("STEVE_DATABASE_URL", database_url)
    monkeypatch.setattr("sys.stdin", StringIO())

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        words = list(map(str, arguments))
        try:
            code = main([*words, "--schema", schema])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ran(code, *capsys.readouterr())

    return run


class Terminal(StringIO):
    """What says that it is a terminal."""

    def isatty(self) -> bool:
        return True
