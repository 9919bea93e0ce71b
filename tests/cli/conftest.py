"""For the tests of the command line and the embedded server: a place for temporary files, empty in the end."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import until


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files, its name short enough for a socket. Nothing may run or lie in it after."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    folder.chmod(0o755)  # as root, the server runs as somebody else
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # where Python remembers it
    yield folder
    until(lambda: not processes_in(folder))
    left = list(folder.iterdir())
    shutil.rmtree(folder)
    assert left == []


def processes_in(folder: Path) -> list[psutil.Process]:
    """The processes on whose command line the folder is."""
    processes = psutil.process_iter(["cmdline"])
    return [process for process in processes if str(folder) in " ".join(process.info["cmdline"] or [])]


def python(*arguments: str, to_be_interrupted: bool = False) -> subprocess.Popen[str]:
    """A Python of its own, in a session of its own, that writes what it prints into pipes.

    `to_be_interrupted`: without coverage, whose lock a KeyboardInterrupt may leave locked when it comes inside.
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
