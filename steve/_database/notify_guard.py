"""Does without notifications where PostgreSQL does not take them: they are hints, and the poll finds the jobs meanwhile.

The queue of notifications, one for all databases of a server, fills up when a session that listens somewhere stays in a
transaction. Then every commit that notifies fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from steve._database.failures import Unexplained
from steve._model.tuning import Tuning
from steve._runtime.log import logger

T = TypeVar("T")


class NotifyGuard:
    def __init__(self, tuning: Tuning) -> None:
        self._pause = tuning.notify_pause
        self._not_before = 0.0  # from several threads: assigned, never counted up
        self._was_logged = False

    def call(self, wanted: bool, statement: Callable[[bool], T], clean_up: Callable[[], object]) -> T:
        """Call `statement(True)` if a notification is `wanted`. When it fails because of the notification, call
        `statement(False)`, and for some time call every statement like that.

        A statement that raises Unexplained must have done nothing. `clean_up()` has PostgreSQL throw away the notifications
        that all sessions have read. By itself PostgreSQL does so only when one is added, which a full queue does not allow."""
        if not wanted or time.monotonic() < self._not_before:
            return statement(False)
        try:
            result = statement(True)
        except Unexplained as error:
            if error.sqlstate != "54000":
                raise
            clean_up()
            result = statement(False)  # raises if another limit was the cause
            self._not_before = time.monotonic() + self._pause
            if not self._was_logged:
                self._was_logged = True
                logger.warning(
                    "the database takes no notification: %s; jobs are found by the poll until a session that listens, in any "
                    "database of the server, ends its transaction and reads (pg_notification_queue_usage() tells)",
                    error,
                )
            return result
        self._was_logged = False
        return result
