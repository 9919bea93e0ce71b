"""The connection of the waits' thread: opens it, listens, announces that somebody waits, and begins anew after a failure."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from steve._database.backoff import Backoff
from steve._database.failures import DatabaseFailure
from steve._database.statements.waits import Ended
from steve._model.tuning import Tuning
from steve._runtime.log import logger
from steve._waits.cancels import CancelPort


class WaitPort(CancelPort, Protocol):
    """What the thread asks of the database: `DatabaseWaits`. The methods raise DatabaseFailure and SteveError."""

    @property
    def listens(self) -> bool: ...
    def is_connected(self) -> bool: ...
    def listen(self) -> int | None: ...
    def announce(self, *, notify: bool) -> None: ...
    def hear(self) -> list[str]: ...
    def find_ended(self, uids: Collection[UUID]) -> Ended: ...
    def explain(self) -> None: ...
    def cut(self) -> None: ...
    def close(self) -> None: ...
    def leave_to_parent(self) -> None: ...


class Session:
    def __init__(self, *, database: WaitPort, tuning: Tuning) -> None:
        self._database = database
        self._tuning = tuning
        self._backoff = Backoff(tuning)
        self.retry_at = 0.0
        """After a failure: not before this time, by time.monotonic()."""
        self.descriptor: int | None = None
        """The number of the socket on which notifications come. None: they do not."""
        self.is_prepared = False
        self.is_primary = False
        """Whether the server is known to be the primary."""
        self.listens_since = float("inf")
        """Since when notifications have come without a gap, by time.time(); inf: they do not."""
        self._announced_at = float("-inf")
        self._is_away = False

    def refresh(self, now: float, *, somebody_waits: bool) -> list[str]:
        """Connect if need be, and hear. Returns the notifications that have come since the last call. Raises
        DatabaseFailure."""
        is_new = not self.is_prepared or not self._database.is_connected()
        if is_new and not somebody_waits:
            return []
        if is_new:
            self.is_prepared = self.is_primary = False
            self.listens_since = float("inf")
            self._announced_at = float("-inf")
            self.descriptor = self._database.listen()
            if self.descriptor is not None:
                self.listens_since = time.time()
        self.is_prepared = True
        heard = self._database.hear()
        return ["", *heard] if is_new else heard  # notifications that were sent before are lost

    def is_to_announce(self, now: float) -> bool:
        return now >= self._announced_at + self._tuning.wait_renewal

    def announce(self, now: float) -> list[str]:
        """Tell the processes that run jobs that somebody waits. Returns, as `refresh` does, of what they may have told nobody
        before. Raises DatabaseFailure."""
        is_first = now >= self._announced_at + self._tuning.wait_announced
        self._database.announce(notify=is_first)
        self.is_primary = True  # because something was written there
        self._announced_at = time.monotonic()
        return [""] if is_first else []

    def seconds_to_renewal(self, now: float) -> float:
        return self._announced_at + self._tuning.wait_renewal - now

    def worked(self) -> None:
        if self._is_away:
            self._is_away = False
            logger.info("jobs can be waited for again")
        self._backoff.reset()

    def failed(self, error: DatabaseFailure, *, somebody_waits: bool) -> None:
        if somebody_waits and not self._is_away:
            self._is_away = True
            logger.warning("jobs cannot be waited for at present: %s", error)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Connect again, after a pause."""
        self.is_prepared = False
        self.listens_since = float("inf")
        self.descriptor = None
        self._database.close()
        self.retry_at = time.monotonic() + self._backoff.next()
