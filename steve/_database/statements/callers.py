"""The statements as they are sent in a transaction of a caller's, which may stay open for long: `steve.testing` runs jobs so.

They are the same files as everywhere. Two things differ. now() is the time at which the transaction began: no job that was
created later would be due, and no time that is written would move on. So statement_timestamp() stands in its place. And nothing
is prepared, because the session is the caller's, who may drop the tables and make others.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from steve._database.caller import AnyConnection
from steve._database.failures import Connection
from steve._database.statements.claims import ClaimStatements
from steve._database.statements.completion import CompletionStatements
from steve._database.statements.pauses import PauseStatements
from steve._database.statements.processes import ProcessStatements
from steve._database.statements.records import RecordStatements
from steve._database.statements.script import Script
from steve._database.statements.settlement import SettlementStatements
from steve._model.settings import Settings

NOW = "pg_catalog.now()"
HERE = "pg_catalog.statement_timestamp()"
DUE_BY = f"coalesce(%(due_by)s::pg_catalog.timestamptz, {HERE})"


class Horizon:
    """By when jobs count as due."""

    def __init__(self) -> None:
        self.due_by: datetime | None = None
        """None: now."""


class CallersScript(Script):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.schema, settings.tuning)
        self.horizon = Horizon()
        self._texts = {name: _in_time(text) for name, text in self._texts.items()}

    def set_text(self, name: str, text: str) -> None:
        super().set_text(name, _in_time(text))

    def with_texts(self, texts: Mapping[str, str]) -> Script:
        return super().with_texts({name: _in_time(text) for name, text in texts.items()})

    def rows(
        self, connection: AnyConnection, name: str, parameters: dict[str, Any], prepare: bool | None = None
    ) -> list[tuple[Any, ...]]:
        return super().rows(connection, name, parameters | {"due_by": self.horizon.due_by}, prepare=False)


def _in_time(text: str) -> str:
    """The text of a statement, with the time of the statement, or that of the horizon, in the place of the transaction's."""
    for before in ("run_at <= ", "run_at > ", "served.priority, "):  # where a claim compares
        text = text.replace(before + NOW, before + DUE_BY)
    # The horizon moves to the first job that is not due yet, so find_heads.sql must not cut its time off at the present.
    return text.replace(f"least(run_at, {NOW})", "run_at").replace(NOW, HERE)


class CleanupStatements:
    def __init__(self, script: Script) -> None:
        self._script = script

    def empty_tables(self, connection: Connection) -> None:
        """Delete all jobs, and all that is kept beside them."""
        self._script.rows(connection, "empty_tables", {}, prepare=False)


class CallersStatements(NamedTuple):
    claims: ClaimStatements
    settlement: SettlementStatements
    completion: CompletionStatements
    records: RecordStatements
    pauses: PauseStatements
    processes: ProcessStatements
    cleanup: CleanupStatements
    horizon: Horizon


def callers_statements(settings: Settings) -> CallersStatements:
    script = CallersScript(settings)
    return CallersStatements(
        claims=ClaimStatements(script, settings.queues),
        settlement=SettlementStatements(script),
        completion=CompletionStatements(script),
        records=RecordStatements(script),
        pauses=PauseStatements(script),
        processes=ProcessStatements(script),
        cleanup=CleanupStatements(script),
        horizon=script.horizon,
    )
