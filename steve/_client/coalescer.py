"""Which INSERT carries the NOTIFY. Commits that notify wait for each other at a lock of the whole database. So of the jobs that
many threads create at once, only some carry a notification, which does for the others too.

`create.py` sends an INSERT between `begin()` and `end()`, and calls `owe()` after a COPY, which cannot carry one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from steve._database.failures import DatabaseFailure
from steve._model.tuning import Tuning
from steve._runtime.log import logger
from steve.errors import SteveError


class NotifyCoalescer:
    """One INSERT at a time carries a notification. The others go without, and owe one.

    An INSERT that is sent after a job was committed wakes workers for that job too: the next one to begin pays what is owed.
    One that is under way does not, because its notification may be heard before the job can be seen. An INSERT that ends while
    no other is under way pays at once, with a statement of its own: no job waits for the poll because its notification was left
    out.
    """

    def __init__(self, *, notify: Callable[[], object], tuning: Tuning) -> None:
        """`notify()` sends a notification by itself."""
        self._notify = notify
        self._carry_most = tuning.carry_most
        self._lock = threading.Lock()  # protects the three below; nothing is called under it
        self._under_way = 0
        self._carrying_until = 0.0  # from then on an INSERT whose thread was interrupted no longer counts
        self._is_owed = False

    def begin(self) -> bool:
        """An INSERT is about to be sent; returns whether it carries the notification. `end` must follow."""
        with self._lock:
            self._under_way += 1
            now = time.monotonic()
            if now < self._carrying_until:
                return False
            self._carrying_until = now + self._carry_most
            self._is_owed = False
            return True

    def end(self, carried: bool) -> None:
        """That INSERT is over. One that failed may have been stored all the same."""
        with self._lock:
            self._under_way -= 1
            if carried:
                self._carrying_until = 0.0
            else:
                self._is_owed = True
            pay = self._take_debt()
        if pay:
            self._pay()

    def owe(self) -> None:
        """Jobs were stored without a notification."""
        with self._lock:
            self._is_owed = True
            pay = self._take_debt()
        if pay:
            self._pay()

    def _take_debt(self) -> bool:
        """Under the lock. Returns whether the caller has to pay what is owed."""
        pay = self._is_owed and not self._under_way
        if pay:
            self._is_owed = False
        return pay

    def _pay(self) -> None:
        try:
            self._notify()
        except (SteveError, DatabaseFailure) as error:
            logger.debug("a notification could not be sent, the poll finds the jobs: %s", error)
