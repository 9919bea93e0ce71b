"""Statements about what runs leave behind: how far they are, and what they have logged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from steve._database.caller import AnyConnection
from steve._database.failures import Connection, translated
from steve._database.literals import array, text_array, uuid_array
from steve._database.statements.rows import in_utc
from steve._database.statements.script import Script
from steve._model import json as _json
from steve._model.claimed import RunKey
from steve._model.log_text import Chunk, Cut
from steve.job import LogLine

_EPOCH = datetime.fromtimestamp(0, UTC)


class Reported(NamedTuple):
    """How far a run is, as it is sent."""

    run: RunKey
    report: int
    """Of two reports of a run, the later one has the higher number."""
    done: float
    total: float | None
    note: str | None
    at: float
    """time.monotonic()."""

    def in_ascii(self) -> Reported:
        return self._replace(note=self.note and self.note.encode("ascii", "backslashreplace").decode())


class Logged(NamedTuple):
    """What an attempt has logged since the last time, as it is sent."""

    run: RunKey
    attempt: int
    chunks: Sequence[Chunk]
    cut: Cut | None


class Place(NamedTuple):
    """A row of the log, in the order of its key."""

    lease_no: int
    claimed_at: datetime
    first_line: int
    last_line: int


class Lines(NamedTuple):
    """Some lines of an attempt, and where they are."""

    place: Place
    lines: list[LogLine]


class RecordStatements:
    """The methods that write are for the engine's connections. `limited`: the session limits how long a statement waits for
    locks, as the settler's does. Otherwise the statement is sent in a transaction with such a limit: a
    session that locks one of these two tables must not hold up the thread that writes."""

    def __init__(self, script: Script) -> None:
        self._script = script
        for name in ("write_log", "write_progress"):
            script.limit_locks(name)

    def write_progress(self, connection: Connection, reported: Sequence[Reported], *, limited: bool) -> float:
        """Returns the time by the database's clock, in seconds since 1970."""
        now = time.monotonic()
        return self._write(connection, "write_progress", limited, {
            **_claims([one.run for one in reported]),
            "reports": array([one.report for one in reported]),
            "dones": array([one.done for one in reported]),
            "totals": array([one.total for one in reported]),
            "notes": text_array([one.note for one in reported]),
            "agos": array([int((now - one.at) * 1e6) for one in reported]),
        })  # fmt: skip

    def write_log(self, connection: Connection, logged: Sequence[Logged], shift: float | None, *, limited: bool) -> float:
        """`shift`: how many seconds the database's clock is ahead of this process's; None: not known yet. Returns the time by
        the database's clock, in seconds since 1970."""
        chunks = [(one, chunk) for one in logged for chunk in one.chunks]
        cuts = [(one.run, one.cut) for one in logged if one.cut is not None]
        return self._write(connection, "write_log", limited, {
            **_claims([one.run for one, _ in chunks]),
            "firsts": array([chunk.first for _, chunk in chunks]),
            "lasts": array([chunk.last for _, chunk in chunks]),
            "attempts": array([one.attempt for one, _ in chunks]),
            "lines": text_array([chunk.text for _, chunk in chunks]),
            "shift": None if shift is None else int(shift * 1e6),
            "sent_at": int(time.time() * 1e6),
            **{f"cut_{name}": value for name, value in _claims([run for run, _ in cuts]).items()},
            "cut_froms": array([cut.first for _, cut in cuts]),
            "cut_untils": array([cut.until for _, cut in cuts]),
        })  # fmt: skip

    def _write(self, connection: Connection, name: str, limited: bool, parameters: dict[str, Any]) -> float:
        if limited or connection.prepare_threshold is None:  # behind a pooler, each statement brings the limit along
            rows = self._script.rows(connection, name, parameters, prepare=True)
        else:
            patience = f"{self._script.tuning.lock_patience * 1000:.0f}ms"
            with translated(connection), connection.transaction():
                self._script.rows(connection, "limit_locks", {"patience": patience})
                rows = self._script.rows(connection, name, parameters, prepare=True)
        at: datetime = rows[0][0]
        return at.timestamp()

    def list_log(self, connection: AnyConnection, uid: UUID, attempt: int | None) -> list[Lines]:
        rows = self._script.rows(connection, "list_log", {"uid": uid, "attempt": attempt}, prepare=False)
        return [_lines(row) for row in rows]

    def follow_log(self, connection: Connection, uid: UUID, after: Place | None) -> tuple[str | None, list[Lines]]:
        """The job's status (None: there is no such job), and what was written after that place."""
        place = {"lease_no": None, "claimed_at": None, "first_line": None} if after is None else after._asdict()
        place.pop("last_line", None)
        rows = self._script.rows(connection, "follow_log", {"uid": uid, **place}, prepare=False)
        return (rows[0][0] if rows else None), [_lines(row[1:]) for row in rows if row[1] is not None]


def _claims(runs: Sequence[RunKey]) -> dict[str, str]:
    return {
        "uids": uuid_array([run.uid for run in runs]),
        "lease_nos": array([run.lease_no for run in runs]),
        "claimed_ats": text_array([run.claimed_at.isoformat() for run in runs]),
    }


def _lines(row: tuple[Any, ...]) -> Lines:
    attempt, lease_no, claimed_at, first_line, last_line, shift, lines = row
    return Lines(
        Place(lease_no, in_utc(claimed_at), first_line, last_line),
        [
            LogLine(attempt, _EPOCH + timedelta(microseconds=at + shift), level, logger, message)
            for at, level, logger, message in _json.decode(lines)
        ],
    )
