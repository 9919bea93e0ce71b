"""For the tests of the command line and the embedded server: a directory for temporary files that must be empty at the end."""

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
