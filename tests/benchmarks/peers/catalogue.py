"""The peers: what is installed of each, how many jobs it is given, and how its tables say that a job is done."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from tests.child import ROOT

HOME = ROOT / ".peers"
"""Where the peers are installed. Not under version control."""

DRIVERS = Path(__file__).parent / "drivers"


class Peer(NamedTuple):
    name: str
    packages: tuple[str, ...]
    """As pip or npm takes them; the first is the peer itself."""
    settings: str
    """Its best settings, which its driver sets. They were found by trying."""
    jobs: int
    """How many jobs it gets: more than it can do before it is stopped, or as many as the drains of steve have."""
    unfinished: str
    """SQL: how many jobs are not yet done for good. A job that failed is not done."""
    python: tuple[int, int] | None = (3, 11)
    """The oldest Python that it runs on; None: it runs on Node."""
    is_backend: bool = False
    """Whether it is driven as a backend of Django's tasks. The figures of these are for each other, and not in the picture."""

    @property
    def home(self) -> Path:
        return HOME / self.name

    @property
    def stamp(self) -> Path:
        """A file with the names of its packages, written when they are installed."""
        return self.home / ".installed"

    @property
    def installed(self) -> bool:
        return self.stamp.exists() and self.stamp.read_text() == "\n".join(self.packages)

    @property
    def title(self) -> str:
        return f"{self.packages[0]}, {self.settings}"

    def command(self) -> list[str]:
        """The command that runs its driver."""
        module = self.name.replace("-", "_")
        if self.python:
            code = f"from tests.benchmarks.peers.driver import main; main({module!r})"
            return [str(self.home / "bin" / "python"), "-c", code]
        # Node looks for packages beside the file that imports them.
        for file in (f"{module}.mjs", "driver.mjs"):
            shutil.copy(DRIVERS / file, self.home)
        own = self.home / "node_modules" / "node" / "bin" / "node"
        node = own if own.exists() else shutil.which("node")
        return [str(node), str(self.home / f"{module}.mjs")]


PEERS = (
    Peer(
        "graphile-worker",
        ("graphile-worker@0.17.3", "pg@8.23.1"),
        "24 at a time, local queue of 2,000, completions in batches",
        100_000,
        "select count(*) from graphile_worker._private_jobs",
        python=None,
    ),
    Peer(
        "pg-boss",
        ("pg-boss@12.38.0", "pg@8.23.1", "node@22"),
        "4 at a time, batches of 500, the next at once",
        100_000,
        "select count(*) from pgboss.job where name = 'noop' and state <> 'completed'",
        python=None,
    ),
    Peer(
        "pgqueuer",
        ("pgqueuer==1.6.0", "asyncpg", "uvloop"),
        "asyncpg, uvloop, batches of 100",
        100_000,
        "select count(*) from pgqueuer",
    ),
    Peer(
        "chancy",
        ("chancy==0.26.0", "psycopg[binary]"),
        "1,000 async, eager polling",
        30_000,
        "select count(*) from chancy_jobs where state <> 'succeeded'",
    ),
    Peer(
        "oban",
        ("oban==0.7.0", "psycopg[binary]"),
        "200 async, uvloop",
        25_000,
        "select count(*) from oban_jobs where state <> 'completed'",
        python=(3, 12),
    ),
    Peer(
        "dramatiq-postgres",
        ("dramatiq-postgres==1.4.0", "psycopg[binary,pool]"),
        "8 threads",
        12_000,
        "select count(*) from dramatiq.queue",
    ),
    Peer(
        "huey",
        ("huey==3.5.4", "psycopg[binary,pool]"),
        "10 threads, at most once: the row is deleted first",
        12_000,
        "select count(*) from huey_task",
    ),
    Peer(
        "steve-node",
        ("@marianmeres/steve@3.0.0", "pg@8.23.1"),
        "10 at a time: the original",
        10_000,
        "select count(*) from __job where status <> 'completed'",
        python=None,
    ),
    Peer(
        "procrastinate",
        ("procrastinate==3.10.0", "psycopg[binary]"),
        "30 async",
        5_000,
        "select count(*) from procrastinate_jobs where status <> 'succeeded'",
    ),
    Peer(
        "django-tasks-db",
        ("django-tasks-db==0.13.0", "django>=6", "psycopg[binary,pool]"),
        "one at a time, all that it can",
        2_500,
        "select count(*) from django_tasks_database_dbtaskresult where status <> 'SUCCESSFUL'",
        python=(3, 12),
        is_backend=True,
    ),
    Peer(
        "django-ox",
        ("django-ox==1.9.1", "django>=6.1", "psycopg[binary,pool]"),
        "4 at a time",
        6_000,
        "select count(*) from django_ox_oxtask where status <> 'SUCCESSFUL'",
        python=(3, 12),
        is_backend=True,
    ),
    Peer(
        "django-huey",
        ("huey==3.5.4", "django>=6.1", "psycopg[binary,pool]"),
        "through django.tasks, 10 threads, at most once: the row is deleted first",
        6_000,
        "select count(*) from huey_task",
        python=(3, 12),
        is_backend=True,
    ),
    Peer(
        "django-chancy",
        ("chancy==0.26.0", "django>=6.1", "psycopg[binary]"),
        "through django.tasks, 10 threads, eager polling",
        6_000,
        "select count(*) from chancy_jobs where state <> 'succeeded'",
        python=(3, 12),
        is_backend=True,
    ),
    Peer(
        "django-steve",
        ("django>=6.1", "psycopg[binary,pool]"),
        "this steve through django.tasks, 10 threads",
        50_000,
        "select count(*) from steve.job where status <> 'completed'",
        python=(3, 12),
        is_backend=True,
    ),
)
