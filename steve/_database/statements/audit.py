"""Statements about the audit, and about whose turn a duty of the whole fleet is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from steve._database.caller import AnyConnection
from steve._database.statements.script import Script


class Entry(NamedTuple):
    """Who does what, to be written with each transaction that does a part of it."""

    uid: UUID
    actor: str
    action: str
    filter: str
    """JSON text."""


class AuditStatements:
    """Writing and pruning the audit, and taking turns."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def write_audit(self, connection: AnyConnection, entry: Entry, done: int) -> None:
        """`done`: how many jobs this transaction has changed."""

        self._script.rows(connection, "write_audit", entry._asdict() | {"done": done}, prepare=False)

    def prune_audit(self, connection: AnyConnection, older_than: timedelta) -> None:
        self._script.rows(connection, "prune_audit", {"older_than": older_than}, prepare=False)

    def take_turn(
        self, connection: AnyConnection, name: str, every: timedelta, mine: datetime | None = None
    ) -> datetime | None:
        """Take the turn in a duty, unless another process has kept it within `every`. Returns since when it is kept. None:
        another process has it. `mine`: what the last call returned, to keep the turn."""
        rows = self._script.rows(connection, "take_turn", {"name": name, "every": every, "mine": mine}, prepare=False)
        return rows[0][0] if rows else None
