"""Sends no notifications while PostgreSQL refuses them. They are only hints: the poll finds the jobs meanwhile.

A server has one queue of notifications for all its databases. If a session that listens stays in a transaction, the queue fills
up, and then every commit that notifies fails.
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
        self._not_before = 0.0  # several threads assign these two; no lock is needed
        self._was_logged = False

    def call(self, wanted: bool, statement: Callable[[bool], T], clean_up: Callable[[], object]) -> T:
        """Call `statement(True)` if a notification is `wanted`. If that fails because of the notification, call
        `statement(False)`, and do the same with all later statements for some time.

        A statement that raises Unexplained must have written nothing. `clean_up()` makes PostgreSQL remove the notifications
        that all sessions have read. By itself PostgreSQL does that only when one is added, which is impossible while the queue
        is full.
        """
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
