"""The statements about processes: who lives, who is dead, and what becomes of the jobs of the dead. A Store like the other.

`_heartbeat` beats with them, `_rescue` suspects and rescues; both are given them as plain functions by `_alive`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    heartbeat_at: float
    """As the database's epoch: what happened after that was not seen."""
    suspected_at: float | None
    """When it was suspected, or rescued from while it was stalled."""
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
    restricted: bool
    """Whether rights or row level security may keep jobs from this role: `Store.check_access` tells."""


class Look(NamedTuple):
    """What a heartbeat saw."""

    own: Process | None
    """As it was before the heartbeat; None: it was gone."""
    others: list[Process]
    locked: bool
    """Whether this session holds the lock of its own row."""
    seen_at: float
    """By the server's clock, in seconds: compared with other times of that clock only."""
    server_started: float | None = None
    """When the server started, by its clock: another one, or one that has started anew, has another time. None: not seen."""
    restricted: bool | None = None
    """As in Registered; None: only a beat asks."""


class Review(NamedTuple):
    """What the tables say of who holds jobs."""

    adopted: list[int]
    """Ids of processes that hold jobs and had no row."""
    own: set[tuple[int, int]]
    """(id, lease_no) of the jobs that this process holds."""


TIME_LIMITS = [
    "statement_timeout",
    "lock_timeout",
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",  # PostgreSQL 17
]
"""Of a role's, lifted from the heartbeat's session."""


class Processes(Store):
    def register_process(self, connection: Connection, id: int, name: str, lease: float, session: int) -> Registered:
        """`session`: as `Line.session`."""
        ((locked, started, restricted),) = self._rows(connection, "register_process", self._identity(id, name, lease, session))
        return Registered(id, connection.fileno() if locked else None, started, restricted)

    def is_registered(self, connection: Connection, id: int) -> bool:
        return bool(self._rows(connection, "find_process", {"id": id}))

    def beat(self, connection: Connection, id: int, name: str, lease: float, session: int, *, beat: bool, locked: bool) -> Look:
        """`session`: as `Line.session`; `beat`: not only to look; `locked`: this session holds the lock already."""
        rows = self._rows(connection, "beat", self._identity(id, name, lease, session) | {"beat": beat, "locked": locked})
        seen = [Process(*row[:7]) for row in rows]
        own = next((one for one in seen if one.id == id), None)
        # Where there is no row yet there is nothing to be judged either: of the first beat after a loss nothing more is asked.
        seen_at, started, locked, restricted = rows[0][7:] if rows else (0.0, None, locked, None)
        return Look(own, [one for one in seen if one.id != id], locked, seen_at, started, restricted)

    def _identity(self, id: int, name: str, lease: float, session: int) -> dict[str, Any]:
        return {
            "id": id,
            "name": name,
            "version": __version__,
            "lease": lease,
            "lock": self._lock,
            "session": session,
            "time_limits": TIME_LIMITS,
            "job": self._table("job"),
            "attempt": self._table("attempt"),
        }

    def suspect_process(self, connection: Connection, process: Process) -> float | None:
        """When that was written down, by the server's clock; None: it has beaten since, or somebody else did it."""
        parameters = {"id": process.id, "heartbeat_at": process.heartbeat_at, "lock": self._lock}
        rows = self._rows(connection, "suspect_process", parameters)
        return rows[0][0] if rows else None

    def rescue_jobs(
        self,
        connection: Connection,
        process: Process,
        dead: bool,
        reason: str,
        taken: Collection[int],
        *,
        max_crashes: int,
        notify: bool,
    ) -> list[tuple[Verdict, Settled]]:
        """Some of its jobs but those `taken`, with what became of them; none: there are no more, or it has beaten since."""
        more = {"heartbeat_at": process.heartbeat_at, "dead": dead, "own": False, "ids": array(taken)}
        return self._rescue(connection, process.id, reason, max_crashes, notify, **more)

    def free_jobs(
        self,
        connection: Connection,
        id: int,
        claims: Collection[tuple[int, int]],
        reason: str,
        *,
        max_crashes: int,
        notify: bool,
    ) -> list[tuple[Verdict, Settled]]:
        """The same with what the process `id`, this one, holds by these claims; none while its row is locked."""
        keys = {"ids": array(id for id, _ in claims), "lease_nos": array(lease_no for _, lease_no in claims)}
        return self._rescue(connection, id, reason, max_crashes, notify, own=True, **keys)

    def _rescue(
        self, connection: Connection, id: int, reason: str, max_crashes: int, notify: bool, **more: Any
    ) -> list[tuple[Verdict, Settled]]:
        parameters = {
            "id": id,
            "heartbeat_at": None,
            "dead": False,
            "ids": "{}",
            "lease_nos": "{}",
            "reason": reason,
            "max_crashes": max_crashes,
            "n": RESCUE_MOST,
            "channel": self.channel,
            "lock": self._lock,
        } | more
        rows = self._hinting(
            connection, notify, lambda notify: self._rows(connection, "rescue_jobs", parameters | {"notify": notify})
        )
        return [_rescued(row) for row in rows]

    def review_claims(self, connection: Connection, id: int, lease: float) -> Review:
        """For the process `id`; `lease`: of processes that get a row by this."""
        ((adopted, ids, lease_nos),) = self._rows(connection, "review_claims", {"process_id": id, "lease": lease})
        return Review(adopted, set(zip(ids, lease_nos, strict=True)))

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
