"""Which INSERT carries the NOTIFY. Commits that notify queue behind a lock of the whole database, so of the jobs that many
threads create at once only some announce themselves, and pay for the others.

`_create` sends an INSERT between `begin()` and `end()`, and calls `owe()` after a COPY, which cannot carry anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ._log import logger
from .errors import SteveError, Trouble

CARRY_SECONDS = 10.0
"""After so long an INSERT does not keep others from carrying a notification: something may have broken off its thread."""


class Announcer:
    """One carrier at a time; whoever creates meanwhile goes without and leaves a debt.

    A carrier that is sent after a job was committed wakes workers for that job too: the next to begin pays what is owed. One
    that is under way does not: its notification may be heard before the job can be seen. Who ends while nobody else is under
    way pays at once, with a statement of its own: no job waits for the poll because its notification was left out.
    """

    def __init__(self, notify: Callable[[], object]) -> None:
        self._notify = notify
        self._lock = threading.Lock()  # protects the three below; held for no longer than it takes to read and write them
        self._under_way = 0
        self._carrying_until = 0.0  # a carrier that something broke off is forgotten then
        self._owed = False

    def begin(self) -> bool:
        """One INSERT is about to be sent: whether it carries the notification. `end` must follow."""
        with self._lock:
            self._under_way += 1
            now = time.monotonic()
            if now < self._carrying_until:
                return False
            self._carrying_until = now + CARRY_SECONDS
            self._owed = False
            return True

    def end(self, carried: bool) -> None:
        """That INSERT is over. One that failed may have been stored all the same."""
        with self._lock:
            self._under_way -= 1
            if carried:
                self._carrying_until = 0.0
            else:
                self._owed = True
            pay = self._take_debt()
        if pay:
            self._pay()

    def owe(self) -> None:
        """Jobs were stored that no notification announced."""
        with self._lock:
            self._owed = True
            pay = self._take_debt()
        if pay:
            self._pay()

    def _take_debt(self) -> bool:
        """Under the lock: whether the caller is the one to pay what is owed."""
        pay = self._owed and not self._under_way
        if pay:
            self._owed = False
        return pay

    def _pay(self) -> None:
        try:
            self._notify()
        except (SteveError, Trouble) as error:
            logger.debug("a notification could not be sent, the poll finds the jobs: %s", error)
