"""An environment for each version of Django, with the Python that it needs. They are kept in .cache/ of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.child import ROOT

HOME = Path(os.environ.get("STEVE_TEST_ENVIRONMENTS", ROOT / ".cache"))
"""The mutants' tests, which run on a copy of the checkout, use those of the checkout."""


class Version(NamedTuple):
    django: str
    python: tuple[int, int]
    """The oldest Python that it runs on."""
    packages: tuple[str, ...]


VERSIONS = (
    Version("6.1", (3, 12), ("django>=6.1,<6.2",)),
    Version("6.0", (3, 12), ("django>=6.0,<6.1",)),
    Version("5.2", (3, 11), ("django>=5.2,<5.3", "django-tasks>=0.12")),
)


def environment(version: Version) -> str:
    """The Python of the environment. Skips the test if no Python is new enough."""
    home = HOME / f"django-tasks-{version.django}"
    packages = (*version.packages, "psycopg[binary,pool]>=3.2")
    stamp, python = home / ".installed", home / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != "\n".join(packages):
        base = _python(version.python)
        if base is None:
            pytest.skip(f"Django {version.django} needs Python {version.python[0]}.{version.python[1]} or newer: none is here")
        shutil.rmtree(home, ignore_errors=True)
        _run([base, "-m", "venv", str(home)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
        stamp.write_text("\n".join(packages))
    return str(python)


def _python(least: tuple[int, int]) -> str | None:
    """Our own Python if it is new enough, else one from the PATH or from pyenv."""
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
