"""Statements that notify, and that hear notifications."""

from __future__ import annotations

import psycopg

from steve._database.execute import Cursor
from steve._database.failures import Connection, translated
from steve._database.statements.script import Script


class NotificationStatements:
    """On the channel of the schema."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def notify(self, connection: Connection) -> None:
        """Wake the listening processes. Does nothing while the server's queue of notifications is half full."""
        self._script.rows(connection, "notify", {"channel": self._script.channel})

    def listen(self, connection: Connection) -> bool:
        """From now on `hear` returns what is notified. False: a pooler is in between, and nothing was done."""
        parameters = {"channel": self._script.channel, "session": connection.info.backend_pid}
        statement = self._script.text("listen") % parameters  # of a name and a number of ours: DO takes no parameters
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
