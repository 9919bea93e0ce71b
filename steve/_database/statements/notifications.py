"""Statements that send and receive notifications."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from steve._database.caller import AnyConnection
from steve._database.execute import Cursor
from steve._database.failures import Connection, translated
from steve._database.statements.script import Script


class NotificationStatements:
    """Sending and receiving notifications on the schema's channel."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def notify(self, connection: AnyConnection) -> None:
        """Wake the processes that listen. Sends nothing while the server's queue of notifications is at least half full."""
        self._script.rows(connection, "notify", {"channel": self._script.channel})

    def listen(self, connection: Connection, *, ended: bool = False) -> bool:
        """Begin to listen, so that `hear` returns notifications. Does nothing and returns False if a pooler is in between.
        `ended`: to those that jobs have ended, instead of all others."""
        return self._listen(connection, self._script.ended_channel if ended else self._script.channel)

    def listen_for_pauses(self, connection: Connection, on_pause: Callable[[], None]) -> None:
        """Begin to listen to those that jobs were paused or resumed. `on_pause()` is called when one arrives during a
        statement; one that arrives later can be read from the socket. Does nothing if a pooler is in between."""
        if self._listen(connection, self._script.pause_channel):
            connection.add_notify_handler(lambda _: on_pause())

    def _listen(self, connection: Connection, channel: str) -> bool:
        parameters = {"channel": channel, "session": connection.info.backend_pid}
        statement = self._script.text("listen") % parameters  # DO takes no parameters; these are our own name and number
        with translated(connection):
            try:
                Cursor(connection).execute(statement.encode(), prepare=False)
            except psycopg.errors.RaiseException:
                return False
        return True

    def hear(self, connection: Connection) -> list[str]:
        """The payloads of the notifications that have arrived, without waiting for more."""
        with translated(connection):
            return [notification.payload for notification in connection.notifies(timeout=0)]
