"""The project in project/: with a database of its own, as processes, on the Django of this environment and on others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.child import ROOT
from tests.environments import made

HOME = Path(__file__).parent / "project"
CACHE = ROOT / ".cache"


class Version(NamedTuple):
    django: str
    python: tuple[int, int]
    """The oldest Python that it runs on."""

    @property
    def packages(self) -> tuple[str, ...]:
        return (f"django=={self.django}.*", "psycopg[binary,pool]>=3.2", "pytest>=8.3", "pytest-django>=4.11", "gunicorn>=23")


OLDEST, NEWEST = Version("5.2", (3, 11)), Version("6.1", (3, 12))


def environment(version: Version) -> str:
    """The Python of an environment with this Django. Skips the test if no Python is new enough."""
    return made(CACHE / f"django-{version.django}", f"Django {version.django}", version.packages, version.python)


@dataclass
class Project:
    """Changes of its settings go to each process that it begins."""

    conninfo: str
    """Of its database."""
    python: str = sys.executable
    settings: dict[str, Any] = field(default_factory=dict)
    home: Path = HOME
    begun: list[subprocess.Popen[str]] = field(default_factory=list)

    def environ(self, **settings: Any) -> dict[str, str]:
        known = conninfo_to_dict(self.conninfo)
        own = {
            "DJANGO_TEST_HOST": str(known["host"]),
            "DJANGO_TEST_PORT": str(known["port"]),
            "DJANGO_TEST_USER": str(known["user"]),
            "DJANGO_TEST_NAME": str(known["dbname"]),
            "DJANGO_TEST_SETTINGS": json.dumps({**self.settings, **settings}),
            "DJANGO_SETTINGS_MODULE": "site_.settings",
            "PYTHONPATH": os.pathsep.join((str(self.home), str(ROOT))),
            "PYTHONUNBUFFERED": "1",
        }
        if password := known.get("password"):
            own["PGPASSWORD"] = str(password)
        return os.environ | own

    def run(self, *arguments: str, code: int | None = 0, **settings: Any) -> str:
        """Run Python with these arguments. Returns what it wrote, and fails the test if it ends with another code."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.home,
            env=self.environ(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        if code is not None:
            assert done.returncode == code, done.stdout
        return done.stdout

    def manage(self, *arguments: str, code: int | None = 0, **settings: Any) -> str:
        return self.run("manage.py", *arguments, code=code, **settings)

    def begin(self, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
        """As `run`, without waiting for the end. What it writes goes to `output(process)`."""
        log = self.log_of(len(self.begun))
        with log.open("w") as file:
            process = subprocess.Popen(
                [self.python, *arguments],
                cwd=self.home,
                env=self.environ(**settings),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.begun.append(process)
        return process

    def log_of(self, number: int) -> Path:
        return Path(os.environ.get("TMPDIR", "/tmp")) / f"{conninfo_to_dict(self.conninfo)['dbname']}-{number}.log"

    def output(self, process: subprocess.Popen[str]) -> str:
        return self.log_of(self.begun.index(process)).read_text()

    def ends(self, process: subprocess.Popen[str], signal_number: int | None = signal.SIGTERM, code: int = 0) -> None:
        if signal_number is not None:
            process.send_signal(signal_number)
        assert process.wait(60) == code, self.output(process)

    def query(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            return connection.execute(text.encode(), values or None).fetchall()

    def execute(self, text: str) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(text.encode())

    def end(self) -> None:
        for number, process in enumerate(self.begun):
            if process.poll() is None:
                with_children(process.pid, signal.SIGKILL)
            process.wait(30)
            self.log_of(number).unlink(missing_ok=True)


def with_children(pid: int, number: int) -> None:
    """Send a signal to a process that was begun by `Project.begin`, and to what it has begun in its session."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


@contextmanager
def database(url: str) -> Iterator[str]:
    """A new database on the server. It is dropped at the end."""
    name = f"dj_{uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield make_conninfo(url, dbname=name, application_name=None)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def project(
    url: str, *, migrated: bool = True, python: str = sys.executable, settings: Mapping[str, Any] = {}
) -> Iterator[Project]:
    with database(url) as conninfo:
        one = Project(conninfo, python=python, settings={"SILENCED_SYSTEM_CHECKS": ["steve.W006"], **settings})
        try:
            if migrated:
                one.manage("migrate", "--verbosity", "0")
            yield one
        finally:
            one.end()
