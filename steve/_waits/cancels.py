"""Cancels the jobs whose futures were given up, if they have not begun. The waits' thread alone uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from steve._database.failures import Misconfigured, Refused
from steve._database.statements.audit import Entry
from steve._runtime.log import logger
from steve.job import Job

AGAIN_SECONDS = 0.1
"""After so long a job is tried again that was locked."""


class Cancel(NamedTuple):
    """Somebody gave a future up: cancel the job if it has not begun."""

    uid: UUID
    entry: Entry | None


class CancelPort(Protocol):
    """`DatabaseWaits`."""

    def cancel(self, uids: Sequence[UUID], entry: Entry | None, *, told: bool) -> tuple[list[Job], list[UUID]]: ...


class ListenerPort(Protocol):
    def wants_cancelled(self) -> bool: ...

    def on_cancelled(self, jobs: Sequence[Job]) -> None: ...


class Cancels:
    def __init__(self, *, database: CancelPort, listeners: ListenerPort) -> None:
        self._database = database
        self._listeners = listeners
        self.waiting: list[Cancel] = []
        self._not_before = 0.0

    def seconds_to_next(self, now: float) -> float:
        """How long there is nothing to send."""
        return max(self._not_before - now, 0.0) if self.waiting else float("inf")

    def send(self, now: float) -> None:
        """Those that somebody does by name are sent one by one, and all others together. Raises DatabaseFailure."""
        told = self._listeners.wants_cancelled()
        groups = [[one] for one in self.waiting if one.entry is not None]
        groups.append([one for one in self.waiting if one.entry is None])
        for group in filter(None, groups):
            try:
                cancelled, locked = self._database.cancel([one.uid for one in group], group[0].entry, told=told)
            except (Misconfigured, Refused) as error:
                logger.warning("the jobs of %d futures that were given up cannot be cancelled: %s", len(group), error)
                cancelled, locked = [], []
            self.waiting = [one for one in self.waiting if one not in group or one.uid in locked]
            self._listeners.on_cancelled(cancelled)
        self._not_before = now + AGAIN_SECONDS
