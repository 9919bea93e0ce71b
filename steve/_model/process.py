"""Whether another process is alive, judged by what its row and its session show. Pure."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from steve._model.tuning import Tuning


class Process(NamedTuple):
    """A process as its row says at one moment. The order is that of the columns of beat.sql."""

    id: int
    name: str
    lease: float
    """Seconds."""
    heartbeat_at: float
    """By the database's clock, in seconds since its epoch. It also tells one heartbeat from the next."""
    suspected_at: float | None
    """When it was suspected; or when its jobs were rescued because it was stalled."""
    lock_is_free: bool
    """Whether the session that held the lock of the row is gone."""
    locked: bool = True
    """Whether a session has held it since the last heartbeat; behind a pooler none does."""


class ProcessState(Enum):
    ALIVE = "alive"
    SUSPECT = "suspect"
    """Its session is gone: it died, or its connection broke and it will be back in a moment."""
    DEAD = "dead"
    """Its session has been gone for so long that it would be back if it lived. Its row is removed, too."""
    STALLED = "stalled"
    """It has been silent for its whole lease, while it is connected or nothing shows whether it is."""


class Observer(NamedTuple):
    """For how long the judging process itself has been well. It must be longer than other processes take to come back:
    otherwise, after an outage, every process would take every other for dead."""

    connected: float
    """Seconds since its heartbeat's connection was opened."""
    unbroken: float
    """Seconds in which all its heartbeats succeeded."""
    server_up: float
    """Seconds since the server started: by then all processes have had the time to come back."""


class Observation(NamedTuple):
    """A process as it was just seen, and for how many seconds it has looked like that. By the clock of the observer, so that
    nothing looks dead because somebody set the server's clock forward."""

    process: Process
    silent: float
    """Since the observer first saw the last heartbeat, which may have come earlier."""
    suspected: float | None
    """Since the observer first saw the suspicion."""


def judge_process(seen: Observation, own: Observer, tuning: Tuning) -> ProcessState:
    process = seen.process
    if process.lock_is_free and own.connected >= tuning.observer_age and own.server_up >= tuning.server_age:
        if seen.suspected is None:
            return ProcessState.SUSPECT
        return ProcessState.DEAD if seen.suspected >= tuning.suspicion else ProcessState.ALIVE
    # The jobs of a stalled process were taken when it was marked as suspected. It may wake up, claim again before its next
    # heartbeat, and stall again: so it is judged once more after each further lease.
    if (
        seen.silent >= process.lease
        and (seen.suspected is None or seen.suspected >= process.lease)
        and own.unbroken >= max(process.lease, tuning.observer_age)
        and own.server_up >= max(process.lease, tuning.server_age)
    ):
        # Without a session to go by, only a long silence shows that a process is dead. If it lives after all, its next
        # heartbeat restores the row.
        is_dead = not process.locked and seen.silent >= tuning.silent_leases * process.lease
        return ProcessState.DEAD if is_dead else ProcessState.STALLED
    return ProcessState.ALIVE
