"""Notifications are hints: whatever a statement does is done without them where PostgreSQL does not take them.

The queue of notifications, one for all databases of a server, fills up when a session that listens somewhere stays in a
transaction. Then every commit that notifies fails. Jobs are found by the poll meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ._log import logger
from .errors import Unexplained
from .settings import HINT_PAUSE

T = TypeVar("T")


class Hints:
    def __init__(self) -> None:
        self._not_before = 0.0  # assigned, not counted: from several threads
        self._said = False

    def send(self, wanted: bool, statement: Callable[[bool], T], clean_up: Callable[[], object]) -> T:
        """What `statement(notify)` makes; where it fails with the notification, without, and for HINT_PAUSE seconds none is
        tried again. It must have done nothing where it raises Unexplained. `clean_up` has PostgreSQL throw away what all have
        read: it does so by itself only when notifications are added, and none is to a queue that is full."""
        if not wanted or time.monotonic() < self._not_before:
            return statement(False)
        try:
            result = statement(True)
        except Unexplained as error:
            if error.sqlstate != "54000":
                raise
            clean_up()
            result = statement(False)  # raises where the limit is another one
            self._not_before = time.monotonic() + HINT_PAUSE
            if not self._said:
                self._said = True
                logger.warning(
                    "the database takes no notification: %s; jobs are found by the poll until a session that listens, in any "
                    "database of the server, ends its transaction and reads (pg_notification_queue_usage() tells)",
                    error,
                )
            return result
        self._said = False
        return result
