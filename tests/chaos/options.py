"""What the driver tells the processes that it starts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class WorkerOptions:
    conninfo: str
    schema: str
    ledger: str
    """The directory of the ledger's files."""
    workers: int | str = 4
    types: tuple[str, ...] = ("a", "b")
    interrupt: bool = False
    """Interrupt the handlers at their deadline."""
    pool: int = 0
    """Give the manager a ConnectionPool of so many connections; 0: give it the conninfo."""
    manager: dict[str, Any] = field(default_factory=dict)
    """Further keywords of JobManager."""
    module: str = "worker"
    """The program: a module of this folder."""
    python: str = sys.executable
    """The Python that runs it."""


@dataclass(frozen=True)
class CreatorOptions:
    conninfo: str
    schema: str
    ledger: str
    name: str
    """The beginning of its jobs' names."""
    seed: str
    threads: int = 2
    every: float = 0.01
    """Seconds between two creates of a thread, on average; 0: no pause."""
    most: int = 0
    """Stop after so many jobs; 0: go on until told to stop."""
    many: float = 0.05
    """The share of creates that are a create_many of ten jobs."""
    own: float = 0.05
    """The share of creates in a transaction on the caller's own connection."""
    raising: float = 0.05
    """The share of jobs whose handler raises, either once or until the job fails."""
    types: tuple[str, ...] = ("a", "b")
    ms: tuple[float, float] = (0.0, 5.0)
    """The least and the most milliseconds that a handler takes."""
    max_attempts: int = 3
    queues: tuple[str, ...] = ("default",)
    keys: int = 0
    """How many keys its jobs share as their `unique`; 0: they have none."""
    on_conflict: str = "return"
    waits: bool = False
    """Whether it has a future for each job, and tells how it ended."""
    forks: bool = False
    """Whether it forks children while it waits."""
    do: str | None = None
    """What else the handlers of its jobs do: see worker.py."""
    driver: str = "psycopg"
    """That of the caller's own connection: see tests/drivers.py."""
    patience: float = 1.0
    """How many times as long as expected its jobs may take to end."""
    module: str = "creator"
    """The program: a module of this folder."""
    python: str = sys.executable
    """The Python that runs it."""


@dataclass(frozen=True)
class MigratorOptions:
    conninfo: str


@dataclass(frozen=True)
class TickerOptions:
    conninfo: str
    schema: str
    start: str
    """The time at which the hour begins that the process lives through, as an ISO text..."""
    begun: float
    """... when it began by the real clock, in seconds since 1970..."""
    rate: float
    """... and how many times as fast it goes by."""
    minutes: int
