"""Statements that look at the fleet, for people: which processes there are, and what keeps a job from running."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from steve._database.failures import Connection, translated
from steve._database.literals import text_array, uuid_array
from steve._database.statements.rows import in_utc
from steve._database.statements.script import Script
from steve._model.presence import ProcessRow, in_ascii, process_of
from steve._model.why.facts import Ahead, Canceller, Facts, Held, JobFacts, LastAttempt, Served
from steve.pause import Pause
from steve.presence import Process


class Servers(NamedTuple):
    """As the fields of Facts."""

    processes: list[Process]
    kinds: dict[int, frozenset[str]]


class FleetStatements:
    """They are never prepared: see JobStatements."""

    def __init__(self, script: Script) -> None:
        self._script = script
        script.limit_locks("note_served")

    @contextmanager
    def limited(self, connection: Connection, seconds: float) -> Iterator[None]:
        """A transaction whose statements take at most so long each. Each has a snapshot of its own."""
        with translated(connection), connection.transaction():
            self._rows(connection, "limit_look", {"patience": f"{seconds * 1000:.0f}ms"})
            yield

    def list_processes(self, connection: Connection, most: int) -> list[Process]:
        """All that have a row, in the order of their starts, at most so many."""
        return [process_of(ProcessRow(*row[:-1]), row[-1]) for row in self._rows(connection, "list_processes", {"most": most})]

    def find_case(self, connection: Connection, uid: UUID) -> Facts | None:
        """The job, the process that holds it, its last attempt, and who cancelled it. None: there is no such job."""
        rows = self._rows(connection, "find_case", {"uid": uid})
        if not rows:
            return None
        row = [in_utc(value) if isinstance(value, datetime) else value for value in rows[0]]
        ends = (columns := len(JobFacts._fields)) + 1, columns + 1 + len(ProcessRow._fields)
        job = JobFacts(*row[:columns])
        shown = self._shown(connection)
        holder, last, canceller = row[ends[0] : ends[1]], row[ends[1] : ends[1] + 3], row[ends[1] + 3 :]
        return Facts(
            uid,
            row[columns],
            job._replace(queue=shown(job.queue), type=shown(job.type)),
            holder=None if holder[0] is None else process_of(ProcessRow(*holder)),
            last=None if last[0] is None else LastAttempt(*last),
            canceller=None if canceller[0] is None else Canceller(*canceller),
        )

    def find_servers(self, connection: Connection, type: str, most: int) -> Servers:
        """The processes, of each the job that began first, at most so many. Those with a handler for the type come first."""
        rows = self._rows(connection, "find_servers", {"type": type, "most": most})
        size = len(ProcessRow._fields)
        types = {kind: _types(text) for *_, kind, text in rows if text is not None}
        return Servers(
            [process_of(ProcessRow(*row[:size])) for row in rows],
            {row[0]: types[kind] for row in rows if (kind := row[size]) in types},
        )

    def count_before(self, connection: Connection, uid: UUID, job: JobFacts, most: int) -> Ahead:
        """The pending jobs that are due before this one. No more than `most` are counted."""
        parameters = {"uid": uid, "priority": job.priority, "run_at": job.run_at, "most": most}
        shown = self._shown(connection)
        rows = self._rows(connection, "count_before", parameters)
        return Ahead({(shown(queue), shown(type)): count for queue, type, count in rows}, sum(row[2] for row in rows) >= most)

    def find_served(self, connection: Connection, type: str) -> Served | None:
        """The process that lately had a handler for the type."""
        rows = self._rows(connection, "find_served", {"type": type})
        return Served(rows[0][0], in_utc(rows[0][1])) if rows else None

    def note_served(self, connection: Connection, process: str, types: Sequence[str]) -> None:
        """For the engine: this process has handlers for these types. It waits only a moment for a lock."""
        shown, tuning = self._shown(connection), self._script.tuning
        renewal = timedelta(seconds=tuning.served_renewal / 2)
        parameters = {"process": process, "types": text_array(map(shown, types)), "renewal": renewal}
        if connection.prepare_threshold is None:  # behind a pooler, each statement brings the limit along
            self._script.rows(connection, "note_served", parameters, prepare=True)
            return
        with translated(connection), connection.transaction():
            self._rows(connection, "limit_locks", {"patience": f"{tuning.lock_patience * 1000:.0f}ms"})
            self._rows(connection, "note_served", parameters)

    def find_lockers(self, connection: Connection, uid: UUID) -> list[Held]:
        """The transactions that have locked the job's row."""
        rows = self._rows(connection, "find_blockers", {"uids": uuid_array([uid])})
        return [Held(*row) for row in rows if row[0] is not None]

    def find_claim_lock(self, connection: Connection) -> Held | None:
        rows = self._rows(connection, "find_claim_lock", {"lock": f"steve {self._script.schema} claim"})
        return Held(*rows[0]) if rows else None

    def find_horizon(self, connection: Connection) -> list[Held]:
        """What keeps PostgreSQL from removing dead rows."""
        return [Held(*row) for row in self._rows(connection, "find_horizon", {})]

    def as_shown(self, connection: Connection, pauses: Sequence[Pause]) -> list[Pause]:
        """The pauses with their names as processes write them: see `_shown`."""
        shown = self._shown(connection)
        return [replace(one, queue=one.queue and shown(one.queue), type=one.type and shown(one.type)) for one in pauses]

    def _shown(self, connection: Connection) -> Callable[[str], str]:
        """How processes write a name into their rows: see `text_of`."""
        return str if connection.info.parameter_status("server_encoding") == "UTF8" else in_ascii

    def _rows(self, connection: Connection, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._script.rows(connection, name, parameters, prepare=False)


def _types(text: str) -> frozenset[str]:
    types = json.loads(text)
    return frozenset(type for type in types if isinstance(type, str)) if isinstance(types, list) else frozenset()
