"""Judges whether a process is alive, by its row and its session. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from steve._model.tuning import Tuning

ID_BITS = 62
"""The id of a process is a random number of so many bits."""


def estimate_processes(id: int, others: Sequence[int], most: int) -> int:
    """About how many processes there are, at a look of the process `id` that showed it these `others`, the next ones in the
    ring, at most `most`.

    A look that shows fewer than `most` shows all of them. Otherwise the share of the ring in which the others lie tells,
    because ids are drawn at random. With sixteen others the estimate is off by a quarter, on average.
    """
    if len(others) < most:
        return len(others) + 1
    span = max((other - id) % (1 << ID_BITS) for other in others)
    return max(len(others) * (1 << ID_BITS) // span, len(others) + 1)


class Process(NamedTuple):
    """The row of a process at one moment. The fields have the order of the columns in beat.sql."""

    id: int
    name: str
    lease: float
    """Seconds."""
    heartbeat_at: float
    """The last heartbeat, by the database's clock, in seconds since the epoch. It also tells one heartbeat from the next."""
    suspected_at: float | None
    """When the process was suspected, or when its jobs were rescued because it was stalled."""
    lock_is_free: bool
    """Whether the session that held the lock of the row is gone."""
    locked: bool = True
    """Whether a session held the lock at the last heartbeat. Behind a pooler none does."""


class ProcessState(Enum):
    ALIVE = "alive"
    SUSPECT = "suspect"
    """The session of the process is gone: the process died, or its connection broke and it will connect again in a moment."""
    DEAD = "dead"
    """The session has been gone for so long that a living process would have connected again. A rescue removes the row, too."""
    STALLED = "stalled"
    """The process has sent no heartbeat for a whole lease. It is still connected, or nothing shows whether it is."""


class Observer(NamedTuple):
    """For how long the judging process itself has been connected and working. That must be longer than other processes take to
    connect again: otherwise, after an outage, every process would take every other for dead."""

    connected: float
    """Seconds since its heartbeat's connection was opened."""
    unbroken: float
    """Seconds for which all its heartbeats have succeeded."""
    server_up: float
    """Seconds since the server started. After a start, all processes have to connect again."""


class Observation(NamedTuple):
    """A process as it was just seen, and for how many seconds it has looked like that. The observer counts them by its own
    clock, so that no process looks dead when somebody sets the server's clock forward."""

    process: Process
    silent: float
    """Seconds since the observer first saw the latest heartbeat, which may have been sent earlier."""
    suspected: float | None
    """Seconds since the observer first saw the suspicion. None: the process is not suspected."""


def judge_process(seen: Observation, own: Observer, tuning: Tuning) -> ProcessState:
    process = seen.process
    if process.lock_is_free and own.connected >= tuning.observer_age and own.server_up >= tuning.server_age:
        if seen.suspected is None:
            return ProcessState.SUSPECT
        return ProcessState.DEAD if seen.suspected >= tuning.suspicion else ProcessState.ALIVE
    # The jobs of a stalled process were taken when it was marked as suspected. But the process may wake up, claim jobs before
    # its next heartbeat, and stall again. So it is judged again after each further lease.
    if (
        seen.silent >= process.lease
        and (seen.suspected is None or seen.suspected >= process.lease)
        and own.unbroken >= max(process.lease, tuning.observer_age)
        and own.server_up >= max(process.lease, tuning.server_age)
    ):
        # If the process has no session that could be gone, only a long silence shows that it is dead. If it lives after all,
        # its next heartbeat restores the row.
        is_dead = not process.locked and seen.silent >= tuning.silent_leases * process.lease
        return ProcessState.DEAD if is_dead else ProcessState.STALLED
    return ProcessState.ALIVE
