"""Environments with packages that ours does not have. Each is made once, and kept in .cache/ of the checkout."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest


def made(home: Path, what: str, packages: Sequence[str], least: tuple[int, int]) -> str:
    """The Python of the environment, which has these packages. Skips the test if no Python is new enough for `what`."""
    stamp, python = home / ".installed", home / "bin" / "python"
    home.parent.mkdir(exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in several processes want the same one
        if not stamp.exists() or stamp.read_text() != "\n".join(packages):
            base = python_for(least)
            if base is None:
                pytest.skip(f"{what} needs Python {least[0]}.{least[1]} or newer: none is here")
            shutil.rmtree(home, ignore_errors=True)
            _run([base, "-m", "venv", str(home)])
            _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
            stamp.write_text("\n".join(packages))
    return str(python)


def python_for(least: tuple[int, int]) -> str | None:
    """Our own Python if it is new enough, else one from the PATH or from pyenv. None: there is none."""
    if sys.version_info[:2] >= least:
        return sys.executable
    for minor in range(least[1], least[1] + 4):
        name = f"python3.{minor}"
        for candidate in (name, *sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"))):
            try:  # a program on the PATH may be a shim of pyenv's, which only says which versions there are
                _run([str(candidate), "-c", ""])
            except (OSError, subprocess.CalledProcessError):
                continue
            return str(candidate)
    return None


def _run(command: list[str]) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, capture_output=True, text=True)
