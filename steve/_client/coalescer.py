"""Decides which INSERT carries the NOTIFY.

Commits that notify wait for each other at a lock of the whole server. So when many threads create jobs at once, only some of
their INSERTs carry a notification, which wakes workers for the other jobs too.

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
    """One INSERT at a time carries a notification. An INSERT that carries none leaves a notification owed.

    The next INSERT that begins with a notification pays what is owed, because it is sent after the earlier jobs were committed.
    An INSERT that was already under way cannot pay: its notification may be heard before those jobs can be seen. When the last
    INSERT under way ends and a notification is still owed, it is sent at once, as a statement of its own. So no job has to wait
    for the poll because its notification was left out.
    """

    def __init__(self, *, notify: Callable[[], object], tuning: Tuning) -> None:
        """`notify()` sends a notification in a statement of its own."""
        self._notify = notify
        self._carry_most = tuning.carry_most
        self._lock = threading.Lock()  # protects the four below; nothing is called under it
        self._under_way = 0
        self._carrying_until = 0.0  # after it, a carrying INSERT counts as lost: its thread was interrupted
        self._is_owed = False
        self._took_over = False  # whether the carrying INSERT is to pay what was owed before it

    def begin(self) -> bool:
        """Called before an INSERT is sent. Returns whether it carries the notification. A call of `end` must follow."""
        with self._lock:
            self._under_way += 1
            now = time.monotonic()
            if now < self._carrying_until:
                return False
            self._carrying_until = now + self._carry_most
            self._took_over = self._is_owed
            self._is_owed = False
            return True

    def end(self, carried: bool, *, stored: bool = True) -> None:
        """Called after the INSERT, also if it failed: the job may have been stored nevertheless.

        `stored`: False if it is certain that the INSERT has stored nothing, and so has notified of nothing.
        """
        with self._lock:
            self._under_way -= 1
            if carried:
                self._carrying_until = 0.0
                self._is_owed = self._is_owed or (self._took_over and not stored)
            elif stored:
                self._is_owed = True
            pay = self._take_debt()
        if pay:
            self._pay()

    def owe(self) -> None:
        """Called after jobs were stored without a notification."""
        with self._lock:
            self._is_owed = True
            pay = self._take_debt()
        if pay:
            self._pay()

    def _take_debt(self) -> bool:
        """Called under the lock. Returns whether the caller must now send the notification that is owed."""
        pay = self._is_owed and not self._under_way
        if pay:
            self._is_owed = False
        return pay

    def _pay(self) -> None:
        try:
            self._notify()
        except (SteveError, DatabaseFailure) as error:
            logger.debug("a notification could not be sent, the poll finds the jobs: %s", error)
