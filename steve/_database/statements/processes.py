"""Statements about processes: register, send heartbeats, see which others live, and rescue the jobs of those that do not."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from steve._database.failures import Connection
from steve._database.literals import array, uuid_array
from steve._database.statements.script import Script
from steve._model.claimed import Claimed, ClaimKey, Settled
from steve._model.outcome import CRASHED, Verdict
from steve._model.pauses import PauseInForce
from steve._model.presence import Presence, text_of
from steve._model.process import Process
from steve._version import __version__
from steve.job import AttemptStatus, Status


class Registered(NamedTuple):
    """What a process learns when it registers."""

    id: int
    descriptor: int | None
    """The number of the heartbeat connection's socket, if its session holds the lock of the process's row."""
    server_started: float
    """By the server's clock, in seconds since its epoch."""
    restricted: bool
    """Whether missing rights or row level security may keep jobs from this role. `check_access` says which."""
    pauses: Sequence[PauseInForce] = ()
    """What is paused."""


class Look(NamedTuple):
    """What a heartbeat saw."""

    own: Process | None
    """The process's own row as it was before the heartbeat; None: it was gone."""
    others: list[Process]
    locked: bool
    """Whether this session holds the lock of the process's own row."""
    seen_at: float
    """The time of the look, in seconds by the server's clock. Compare it only with other times of that clock."""
    server_started: float | None = None
    """When the server started, by its own clock. It changes when the server restarts or another one answers. None: unknown."""
    restricted: bool | None = None
    """As in Registered. None if this was only a look, without a heartbeat."""
    awaited: float | None = None
    """For how many seconds more somebody waits for jobs to end. None or negative: nobody does."""
    pauses: Sequence[PauseInForce] | None = None
    """What is paused. None: unknown."""


class Review(NamedTuple):
    """What the tables say about the processes that hold jobs."""

    adopted: list[int]
    """The ids of processes that hold jobs and had no row. Each was given one."""
    own: set[ClaimKey]
    """The claims that this process holds."""


TIME_LIMITS = [
    "statement_timeout",
    "lock_timeout",
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",  # PostgreSQL 17
]
"""Time limits that a role may have. They are lifted for the heartbeat's session."""


class ProcessStatements:
    """Registering, heartbeats, suspicions, rescues and reviews."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def register_process(
        self, connection: Connection, id: int, name: str, lease: float, session: int, presence: Presence | None = None
    ) -> Registered:
        """`session`: as `LoopConnection.session`."""
        parameters = self._identity(id, name, lease, session) | {"info": _info(connection, presence)}
        ((locked, started, restricted),) = self._script.rows(connection, "register_process", parameters)
        return Registered(id, connection.fileno() if locked else None, started, restricted)

    def is_registered(self, connection: Connection, id: int) -> bool:
        return bool(self._script.rows(connection, "find_process", {"id": id}))

    def beat(
        self,
        connection: Connection,
        id: int,
        name: str,
        lease: float,
        session: int,
        *,
        beat: bool,
        locked: bool,
        most: int,
        presence: Presence | None = None,
    ) -> Look:
        """Look at the next `most` processes and, if `beat` is true, write the heartbeat of this one.

        `session`: as `LoopConnection.session`. `locked`: whether this session holds the lock already. `presence`: what the
        process says of itself; None: nothing new.
        """
        more = {"beat": beat, "locked": locked, "most": most, "info": _info(connection, presence)}
        parameters = self._identity(id, name, lease, session) | more
        rows = self._script.rows(connection, "beat", parameters)
        seen = [Process(*row[:7]) for row in rows]
        own = next((one for one in seen if one.id == id), None)
        # Without rows, neither this process nor any other had one, and there is nothing to judge.
        seen_at, started, locked, restricted, awaited, text = rows[0][7:] if rows else (0.0, None, locked, None, None, None)
        pauses = [PauseInForce(*row) for row in json.loads(text or "[]")] if rows else None
        return Look(own, [one for one in seen if one.id != id], locked, seen_at, started, restricted, awaited, pauses)

    def _identity(self, id: int, name: str, lease: float, session: int) -> dict[str, Any]:
        return {
            "id": id,
            "name": name,
            "version": __version__,
            "lease": lease,
            "lock": self._lock,
            "session": session,
            "time_limits": TIME_LIMITS,
            "job": self._script.table("job"),
            "attempt": self._script.table("attempt"),
        }

    def suspect_process(self, connection: Connection, process: Process) -> float | None:
        """Mark the process as suspected, and return the server's time. Returns None if the process has sent a heartbeat since
        it was seen, or is marked already."""
        parameters = {"id": process.id, "heartbeat_at": process.heartbeat_at, "lock": self._lock}
        rows = self._script.rows(connection, "suspect_process", parameters)
        return rows[0][0] if rows else None

    def rescue_jobs(
        self,
        connection: Connection,
        process: Process,
        dead: bool,
        reason: str,
        taken: Collection[UUID],
        *,
        max_crashes: int,
        notify: bool,
    ) -> list[tuple[Verdict, Settled]]:
        """Take some jobs away from this process, except those `taken` before. Returns what became of each. An empty list: the
        process holds no more jobs, or it has sent a heartbeat since it was seen."""
        more = {"heartbeat_at": process.heartbeat_at, "dead": dead, "own": False, "uids": uuid_array(taken)}
        return self._rescue(connection, process.id, reason, max_crashes, notify, **more)

    def free_jobs(
        self,
        connection: Connection,
        id: int,
        claims: Collection[ClaimKey],
        reason: str,
        *,
        max_crashes: int,
        notify: bool,
    ) -> list[tuple[Verdict, Settled]]:
        """As `rescue_jobs`, for the jobs that this process, `id`, holds by these claims. Takes none while its row is locked."""
        keys = {"uids": uuid_array(uid for uid, _ in claims), "lease_nos": array(lease_no for _, lease_no in claims)}
        return self._rescue(connection, id, reason, max_crashes, notify, own=True, **keys)

    def _rescue(
        self, connection: Connection, id: int, reason: str, max_crashes: int, notify: bool, **more: Any
    ) -> list[tuple[Verdict, Settled]]:
        parameters = {
            "id": id,
            "heartbeat_at": None,
            "dead": False,
            "uids": "{}",
            "lease_nos": "{}",
            "reason": reason,
            "max_crashes": max_crashes,
            "n": self._script.tuning.rescue_most,
            **self._script.channels,
            "lock": self._lock,
        } | more
        rows = self._script.with_notification(
            connection, notify, lambda notify: self._script.rows(connection, "rescue_jobs", parameters | {"notify": notify})
        )
        return [_rescued(row, reason) for row in rows]

    def review_claims(self, connection: Connection, id: int, lease: float) -> Review:
        """`id`: this process. `lease`: the lease in the rows that are made for other processes."""
        ((adopted, uids, lease_nos),) = self._script.rows(connection, "review_claims", {"process_id": id, "lease": lease})
        return Review(adopted, set(zip(uids, lease_nos, strict=True)))

    def find_held(self, connection: Connection, claims: Sequence[ClaimKey]) -> set[ClaimKey]:
        """Which of these claims still hold."""
        parameters = {"uids": uuid_array(uid for uid, _ in claims), "lease_nos": array(lease_no for _, lease_no in claims)}
        return {(row[0], row[1]) for row in self._script.rows(connection, "find_held", parameters)}

    def deregister_process(self, connection: Connection, process_id: int) -> None:
        self._script.rows(connection, "deregister_process", {"id": process_id})

    @property
    def _lock(self) -> str:
        """The text that, followed by a process's id, makes the key of that process's lock."""
        return f"steve {self._script.schema} "


def _info(connection: Connection, presence: Presence | None) -> str | None:
    if presence is None:
        return None
    return text_of(presence, ascii=connection.info.parameter_status("server_encoding") != "UTF8")


def _rescued(row: tuple[Any, ...], reason: str) -> tuple[Verdict, Settled]:
    job = Claimed(*row[: len(Claimed._fields)])
    updated_at, completed_at, text = row[len(Claimed._fields) : -2]
    status = Status(text)
    kind, details = AttemptStatus.CRASHED, None
    if status is Status.CANCELLED:
        kind, details = AttemptStatus.CANCELLED, reason
    verdict = Verdict(job, None, status, kind, None, job.error, details, delay=None, error_type=CRASHED)
    started_at = job.started_at or job.claimed_at
    settled = Settled(job.run_at, started_at, updated_at, completed_at, job.claimed_at)
    return verdict, settled
