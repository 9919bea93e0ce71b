"""Answers questions about the fleet: which processes there are, and what keeps a job from running.

Each look is one statement that goes by an index, counts up to a limit, takes at most `look_patience` and locks nothing. The
answer to `why` is put together from what has answered in time: `_model/why/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from steve._client.calls import Calls
from steve._client.lookup import uid_of
from steve._database.failures import Connection, Transient
from steve._database.statements.fleet import FleetStatements, Servers
from steve._model.tuning import Tuning
from steve._model.why.facts import Facts
from steve._model.why.rules import why
from steve.pause import Pause
from steve.presence import Process
from steve.why import Why

T = TypeVar("T")

PROCESSES_MOST = 10_000
SERVERS_MOST = 1_000
TIMED_OUT = ("57014", "55P03")
"""SQLSTATEs of statements that took too long, or waited too long for a lock."""


class Fleet:
    def __init__(
        self,
        *,
        calls: Calls,
        statements: FleetStatements,
        tuning: Tuning,
        find_pauses: Callable[[Connection], Sequence[Pause]],
    ) -> None:
        """`find_pauses(connection)` returns what is paused."""
        self._calls = calls
        self._find_pauses = find_pauses
        self._statements = statements
        self._tuning = tuning

    def processes(self) -> list[Process]:
        def look(ours: Connection) -> list[Process]:
            with self._statements.limited(ours, self._tuning.look_patience):
                return self._statements.list_processes(ours, PROCESSES_MOST)

        return self._calls.call(look)

    def why(self, job: object) -> Why:
        uid = uid_of(job)
        return why(self._calls.call(lambda ours: self._facts(ours, uid)))

    def _facts(self, ours: Connection, uid: UUID) -> Facts:
        statements, tuning = self._statements, self._tuning
        unknown = Facts(uid, datetime.now(UTC))
        unanswered = unknown._replace(unanswered=tuning.look_patience)
        facts = self._look(ours, lambda: statements.find_case(ours, uid) or unknown, unanswered)
        if facts.job is None:
            return facts
        facts = facts._replace(suspicion=tuning.suspicion, buffer_age=tuning.buffer_age, slow_scan=tuning.slow_scan)
        job = facts.row
        if job.status not in ("pending", "running"):
            return facts
        found = self._look(ours, lambda: statements.find_servers(ours, job.type, SERVERS_MOST), Servers([], {}))
        facts = facts._replace(
            processes=found.processes,
            kinds=found.kinds,
            locked_by=self._look(ours, lambda: statements.find_lockers(ours, uid), []),
        )
        if job.status == "pending":
            none: Sequence[Pause] = ()
            pauses = self._look(ours, lambda: self._find_pauses(ours), none)
            facts = facts._replace(pauses=statements.as_shown(ours, pauses))
        if job.status == "pending" and not facts.with_handler():
            facts = facts._replace(served=self._look(ours, lambda: statements.find_served(ours, job.type), None))
        if job.status == "pending" and facts.is_due():
            facts = facts._replace(
                ahead=self._look(ours, lambda: statements.count_before(ours, uid, job, tuning.count_most), None),
                claim_lock=self._look(ours, lambda: statements.find_claim_lock(ours), None),
                horizon=self._look(ours, lambda: statements.find_horizon(ours), []),
            )
        return facts

    def _look(self, ours: Connection, statement: Callable[[], T], otherwise: T) -> T:
        """The answer of a statement; `otherwise`, if it took too long."""
        try:
            with self._statements.limited(ours, self._tuning.look_patience):
                return statement()
        except Transient as error:
            if error.sqlstate not in TIMED_OUT:
                raise
            return otherwise
