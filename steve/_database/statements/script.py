"""Script: holds the texts of all statements for one schema, and sends one of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from copy import copy
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import psycopg

from steve._database.caller import AnyConnection, Caller
from steve._database.execute import FOR_LOOPS, SET_FOR_LOOPS, execute, quoted, read_statement, settings, with_lock_timeout
from steve._database.failures import Connection, failure_of
from steve._database.notify_guard import NotifyGuard
from steve._database.portable import Portable, portable, with_json_rows
from steve._model.tuning import Tuning

T = TypeVar("T")


class Script:
    def __init__(self, schema: str, tuning: Tuning) -> None:
        self.schema = schema
        self.tuning = tuning
        self.channel = channel_of(schema)
        self.ended_channel = self.channel + "_ended"
        """Of the notifications that jobs have ended, for the processes that wait for jobs."""
        self.pause_channel = self.channel + "_pause"
        """Of the notifications that jobs were paused or resumed, for the heartbeats."""
        self.channels = {"channel": self.channel, "ended": self.ended_channel}
        self._texts = {name: read_statement(text, schema) for name, text in _texts().items()}
        self._portables: dict[tuple[str, str, bool], Portable] = {}  # made when they are sent for the first time
        self._values: dict[str, dict[str, str]] = {}
        self._guard = NotifyGuard(tuning)

    def text(self, name: str) -> str:
        return self._texts[name]

    def portable(self, name: str, style: str, *, in_json: bool = True) -> Portable:
        """The statement for other drivers than psycopg 3. `in_json`: each row is one text."""
        key = name, style, in_json
        if key not in self._portables:
            text = with_json_rows(_texts()[name]) if in_json else _texts()[name]
            self._portables[key] = portable(read_statement(text, self.schema), style)
        return self._portables[key]

    def set_text(self, name: str, text: str) -> None:
        """Replace a text. Call it before the statement is sent for the first time."""
        self._texts[name] = text

    def with_texts(self, texts: Mapping[str, str]) -> Script:
        """A script that differs in these texts only."""
        other = copy(self)
        other._texts = {**self._texts, **texts}
        return other

    def table(self, name: str) -> str:
        """The full name of a table, for PostgreSQL's functions that take it as text."""
        return f"{quoted(self.schema)}.{name}"

    def limit_locks(self, name: str) -> None:
        """Behind a pooler, give this statement a lock_timeout too: elsewhere the settler's session has it."""
        self._values[name] = with_lock_timeout(FOR_LOOPS, self.tuning.lock_patience)

    def rows(
        self, connection: AnyConnection, name: str, parameters: dict[str, Any], prepare: bool | None = None
    ) -> list[tuple[Any, ...]]:
        """Send the statement of that name. Raises DatabaseFailure."""
        if isinstance(connection, Caller):
            return connection.rows(self.portable(name, connection.style), parameters)
        try:  # not `translated`, which would take a hundredth of each create's time
            if prepare and connection.prepare_threshold is None:  # behind a pooler, settings last for one transaction
                with connection.transaction():
                    execute(connection, SET_FOR_LOOPS, settings(self._values.get(name, FOR_LOOPS)))
                    return execute(connection, self._texts[name], parameters)
            return execute(connection, self._texts[name], parameters, prepare=prepare)
        except psycopg.Error as error:
            raise failure_of(error, connection) from error

    def young_rows(self, connection: Connection, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """As `rows`, on a connection of ours, for a statement that looks for few rows by their keys and takes longer to plan
        than to run. psycopg prepares what it sends often. But a plan made for a small table might read all of a large one:
        callers' sessions do not have the settings of the loops. So the text changes every few seconds, and the plan with it."""
        text = f"{self._texts[name]}\n-- {time.monotonic() // self.tuning.young_plan:.0f}"
        try:
            return execute(connection, text, parameters)
        except psycopg.Error as error:
            raise failure_of(error, connection) from error

    def with_notification(self, connection: AnyConnection, notify: bool, statement: Callable[[bool], T]) -> T:
        """Call `statement(notify)`, or `statement(False)` while PostgreSQL refuses notifications."""
        return self._guard.call(notify, statement, lambda: self.rows(connection, "clean_notifications", {}))


def channel_of(schema: str) -> str:
    """The channel of the notifications for the tables in this schema."""
    return "steve_" + hashlib.sha256(schema.encode()).hexdigest()[:16]


@cache
def _texts() -> dict[str, str]:
    """The texts of all files. They are read together when the first manager is made, because a deploy may replace or remove
    them while the process runs."""
    folder = files("steve._database").joinpath("sql")
    return {file.name.removesuffix(".sql"): file.read_text() for file in folder.iterdir() if file.name.endswith(".sql")}
