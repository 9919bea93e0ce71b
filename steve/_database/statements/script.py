"""The texts of all statements for one schema, and how one of them is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import psycopg

from steve._database.execute import FOR_LOOPS, SET_FOR_LOOPS, execute, quoted, read_statement, settings
from steve._database.failures import Connection, failure_of
from steve._database.notify_guard import NotifyGuard
from steve._model.tuning import Tuning

T = TypeVar("T")


class Script:
    def __init__(self, schema: str, tuning: Tuning) -> None:
        self.schema = schema
        self.tuning = tuning
        self.channel = channel_of(schema)
        self._texts = {name: read_statement(text, schema) for name, text in _texts().items()}
        self._guard = NotifyGuard(tuning)

    def text(self, name: str) -> str:
        return self._texts[name]

    def set_text(self, name: str, text: str) -> None:
        """Before the statement is sent for the first time."""
        self._texts[name] = text

    def table(self, name: str) -> str:
        """The table's full name, for functions of PostgreSQL's that take it as text."""
        return f"{quoted(self.schema)}.{name}"

    def rows(
        self, connection: Connection, name: str, parameters: dict[str, Any], prepare: bool | None = None
    ) -> list[tuple[Any, ...]]:
        """Send the statement of that name. Raises DatabaseFailure."""
        try:  # not `translated`, which costs every create a hundredth of its time
            if prepare and connection.prepare_threshold is None:  # behind a pooler: the settings of one transaction
                with connection.transaction():
                    execute(connection, SET_FOR_LOOPS, settings(FOR_LOOPS))
                    return execute(connection, self._texts[name], parameters)
            return execute(connection, self._texts[name], parameters, prepare=prepare)
        except psycopg.Error as error:
            raise failure_of(error, connection) from error

    def with_notification(self, connection: Connection, notify: bool, statement: Callable[[bool], T]) -> T:
        """Call `statement(notify)`, or `statement(False)` where PostgreSQL takes no notification."""
        return self._guard.call(notify, statement, lambda: self.rows(connection, "clean_notifications", {}))


def channel_of(schema: str) -> str:
    """The channel of the notifications for the tables in this schema."""
    return "steve_" + hashlib.sha256(schema.encode()).hexdigest()[:16]


@cache
def _texts() -> dict[str, str]:
    """All files, read at once when the first manager is made: a deploy may remove or replace them under a running process."""
    folder = files("steve._database").joinpath("sql")
    return {file.name.removesuffix(".sql"): file.read_text() for file in folder.iterdir() if file.name.endswith(".sql")}
