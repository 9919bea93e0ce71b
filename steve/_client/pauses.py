"""Pauses jobs for the whole fleet, resumes them, and tells what is paused.

A pause is a row, which all processes read: `_engine/claim/pauses.py`. Each call is a transaction. If the connection breaks, it
is carried out again only if that transaction was not committed.
"""

from __future__ import annotations

from steve._client.audit import Audit
from steve._client.calls import Calls
from steve._client.control import check_reason
from steve._database.failures import Connection
from steve._database.statements import Statements
from steve._model.names import check_name
from steve._model.pauses import Paused
from steve._model.times import check_time
from steve.pause import Pause


class Pausing:
    def __init__(self, *, calls: Calls, statements: Statements, notify: bool, audit: Audit) -> None:
        self._calls = calls
        self._pauses = statements.pauses
        self._notify = notify
        self._audit = audit

    def pause(self, queue: object, type: object, until: object, reason: object) -> Pause:
        paused, why = check_paused(queue, type), check_reason(reason)
        end = None if until is None else check_time("until", until)
        entry = self._audit.entry("pause", given(paused) | ({} if end is None else {"until": end}))
        by = None if entry is None else entry.actor

        def pause(ours: Connection) -> Pause:
            return self._pauses.pause_jobs(ours, paused, end, why, by, self._notify)

        return self._calls.change(lambda ours: self._audit.write(ours, entry, lambda: pause(ours), lambda _: 1))

    def resume(self, queue: object, type: object) -> Pause | None:
        paused = check_paused(queue, type)
        entry = self._audit.entry("resume", given(paused))

        def resume(ours: Connection) -> Pause | None:
            return self._audit.write(
                ours, entry, lambda: self._pauses.resume_jobs(ours, paused, self._notify), lambda ended: int(ended is not None)
            )

        return self._calls.change(resume)

    def paused(self) -> list[Pause]:
        return self._calls.call(self._pauses.list_pauses)


def given(paused: Paused) -> dict[str, object]:
    """For the audit, as filters are shown: without what stands for all."""
    return {name: value for name, value in paused._asdict().items() if value is not None}


def check_paused(queue: object, type: object) -> Paused:
    """Raises TypeError and ValueError."""
    return Paused(
        None if queue is None else check_name("queue", queue),
        None if type is None else check_name("type", type),
    )
