"""The statements about processes: who lives, who is dead, and what becomes of the jobs of the dead. A Store like the other.

`_heartbeat` beats with them, `_rescue` suspects and rescues; both are given them as plain functions by `_alive`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ._literals import array
from ._store import Connection, Store
from ._version import __version__
from .job import AttemptStatus, Claimed, Settled, Status
from .outcome import Verdict
from .settings import RESCUE_MOST


class Process(NamedTuple):
    """A process, as its row was when somebody looked. The order is that of the columns of beat.sql."""

    id: int
    name: str
    lease: float
    """Seconds."""
    silent: float
    """Seconds since its last heartbeat."""
    suspected: float | None
    """Seconds since it was suspected, or rescued from while it was stalled."""
    heartbeat_at: float
    """As the database's epoch: what happened after that was not seen."""
    lock_is_free: bool
    """Whether the session is gone that holds the lock of its row."""
    locked: bool = True
    """Whether one ever held it, since its last heartbeat; behind a pooler none does."""


class Registered(NamedTuple):
    """What a process learns when it begins."""

    id: int
    descriptor: int | None
    """The socket of the connection, the heartbeat's, if its session holds the lock of the process's row."""
    server_started: float


class Look(NamedTuple):
    """What a heartbeat saw."""

    own: Process | None
    """As it was before the heartbeat; None: it was gone."""
    others: list[Process]
    locked: bool
    """Whether this session holds the lock of its own row."""
    server_up: float
    """For how many seconds the server has run."""
    server_started: float | None = None
    """When it started, by its own clock: another server, or one that has started anew, has another time. None: not seen."""


class Processes(Store):
    def register_process(self, connection: Connection, name: str, lease: float, session: int) -> Registered:
        """`session`: as `Line.session`."""
        parameters = {
            "name": name,
            "version": __version__,
            "lease": lease,
            "lock": self._lock,
            "session": session,
        }
        ((id, locked, started),) = self._rows(connection, "register_process", parameters)
        return Registered(id, connection.fileno() if locked else None, started)

    def beat(self, connection: Connection, id: int, name: str, lease: float, session: int, *, beat: bool, locked: bool) -> Look:
        """`session`: as `Line.session`; `beat`: not only to look; `locked`: this session holds the lock already."""
        parameters = {
            "id": id,
            "name": name,
            "version": __version__,
            "lease": lease,
            "beat": beat,
            "locked": locked,
            "lock": self._lock,
            "session": session,
        }
        rows = self._rows(connection, "beat", parameters)
        seen = [Process(*row[:8]) for row in rows]
        own = next((one for one in seen if one.id == id), None)
        # Where there is no row yet there is nothing to be judged either: of the first beat after a loss nothing more is asked.
        server_up, started, locked = rows[0][8:] if rows else (0.0, None, locked)
        return Look(own, [one for one in seen if one.id != id], locked, server_up, started)

    def suspect_process(self, connection: Connection, process: Process) -> bool:
        """Whether that was written down: not if it has beaten since, or somebody else did it."""
        parameters = {"id": process.id, "heartbeat_at": process.heartbeat_at, "lock": self._lock}
        return bool(self._rows(connection, "suspect_process", parameters))

    def rescue_jobs(
        self, connection: Connection, process: Process, dead: bool, reason: str, *, max_crashes: int, notify: bool
    ) -> list[tuple[Verdict, Settled]]:
        """Some of its jobs, with what became of them; none: there are no more, or it has beaten since."""
        parameters = {
            "id": process.id,
            "heartbeat_at": process.heartbeat_at,
            "dead": dead,
            "reason": reason,
            "max_crashes": max_crashes,
            "n": RESCUE_MOST,
            "notify": notify,
            "channel": self.channel,
            "lock": self._lock,
        }
        return [_rescued(row) for row in self._rows(connection, "rescue_jobs", parameters)]

    def adopt_processes(self, connection: Connection, lease: float) -> list[int]:
        """The ids of processes that hold jobs and had no row."""
        return [row[0] for row in self._rows(connection, "adopt_processes", {"lease": lease})]

    def find_held(self, connection: Connection, claims: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of these (id, lease_no) that still hold."""
        parameters = {"ids": array(id for id, _ in claims), "lease_nos": array(lease_no for _, lease_no in claims)}
        return {(row[0], row[1]) for row in self._rows(connection, "find_held", parameters)}

    @property
    def _lock(self) -> str:
        """With the id of a process, what the key of its lock is made from."""
        return f"steve {self.schema} "


def _rescued(row: tuple[Any, ...]) -> tuple[Verdict, Settled]:
    job = Claimed(*row[: len(Claimed._fields)])
    updated_at, completed_at, status = row[len(Claimed._fields) : -1]
    verdict = Verdict(job, None, Status(status), AttemptStatus.CRASHED, error=job.error, delay=None)
    started_at = job.started_at or job.claimed_at
    settled = Settled(job.id, job.lease_no, job.run_at, started_at, updated_at, completed_at, job.claimed_at)
    return verdict, settled
