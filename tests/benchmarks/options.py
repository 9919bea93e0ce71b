"""What processes.py tells the processes that it starts. A module of its own, so that these load nothing else: their memory is
measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class WorkerOptions:
    conninfo: str
    schema: str
    board: str
    jobs: int
    """How many jobs the board has room for."""
    types: tuple[str, ...] = ("noop",)
    workers: int = 10
    sleep: float = 0.0
    """Seconds that each handler sleeps."""
    failing: float = 0.0
    """The share of attempts that raise."""
    listen: bool = False
    """Count on the board what a listener is told."""
    talk: str = ""
    """What other runs do meanwhile: "quiet", "progress", "logs", or "unkept", which are lines that nobody keeps."""
    talkers: int = 0
    """How many such runs there are."""
    rate: float = 0.0
    """How often each of them talks in a second."""


@dataclass(frozen=True)
class CreatorOptions:
    conninfo: str
    schema: str
    how: Literal["create", "insert", "create_many", "connection"]
    """`create`; the same INSERT by psycopg alone; one `create_many`; `create` on a connection of the caller's."""
    count: int
    first: int = 0
    """The number of the first job; the others count on."""
    threads: int = 1
    type: str = "noop"
    every: float = 0.0
    """Seconds between two creates of a thread, on average."""
    notify: bool | None = None
    board: str = ""
    """The board on which to note when `create` had returned; "": none."""
    jobs: int = 0
    """How many jobs the board has room for."""
