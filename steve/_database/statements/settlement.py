"""Statements that write outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from steve._database.execute import Cursor
from steve._database.failures import LOCK_NOT_AVAILABLE, Connection, DatabaseFailure, Transient, Unexplained, translated
from steve._database.literals import array, text_array, uuid_array, words
from steve._database.statements.rows import settled_row
from steve._database.statements.script import Script
from steve._model.claimed import Settled
from steve._model.outcome import Verdict, notification

TELL = """\
, (
  select pg_catalog.pg_notify(
    %(ended)s,
    case when pg_catalog.count(*) <= 200 then pg_catalog.string_agg(uid::pg_catalog.text, ' ') end
  )
  from settled
  where completed_at is not null
  having pg_catalog.count(*) > 0
)"""
"""{tell} in settle_jobs.sql, where somebody waits for jobs to end: names these, unless they are too many for one notification,
which may have 8,000 bytes. Then it is empty."""


class Notifications(NamedTuple):
    """What a settlement notifies of."""

    hint: str | None = None
    """The payload for the processes that run jobs. None: no notification."""
    tell: bool = False
    """Whether to tell the processes that wait for jobs to end."""


class SettlementStatements:
    """Writing outcomes, and finding out what was written."""

    def __init__(self, script: Script) -> None:
        self._script = script
        text = script.text("settle_jobs")
        script.set_text("settle_jobs", text.replace("{tell}", ""))
        script.set_text("settle_jobs_and_tell", text.replace("{tell}", TELL))
        for name in ("settle_jobs", "settle_jobs_and_tell", "find_unlocked"):
            script.limit_locks(name)

    def settle_jobs(
        self,
        connection: Connection,
        process: str,
        verdicts: Sequence[Verdict],
        now: float,
        notify: bool,
        times: bool,
        awaited: bool = False,
    ) -> dict[int, Settled | None]:
        """Write these verdicts. The keys of the result are the places, counted from 1, of the verdicts whose jobs this process
        still held. The values are their times, or None without `times`, since times are slow to read. `now`: time.monotonic().
        `awaited`: somebody waits for jobs to end.
        """
        wanted = _notifications(verdicts, awaited) if notify else NONE
        landed = self._script.with_notification(
            connection,
            wanted != NONE,
            lambda notify: self._settle_jobs(connection, process, verdicts, now, wanted if notify else NONE, times),
        )
        self._tell_of_cancelled(connection, landed, awaited and notify and not wanted.tell)
        return landed

    def settle_unlocked(
        self,
        connection: Connection,
        process: str,
        verdicts: Sequence[Verdict],
        now: float,
        notify: bool,
        times: bool,
        awaited: bool = False,
    ) -> tuple[dict[int, Settled | None], Collection[int]]:
        """As `settle_jobs`, but without the verdicts whose jobs' rows other transactions have locked. Returns the places of
        these, too. It waits for no lock of a row; Transient with SQLSTATE 55P03 means that the table is locked."""
        wanted = _notifications(verdicts, awaited) if notify else NONE
        landed, locked = self._script.with_notification(
            connection,
            wanted != NONE,
            lambda notify: self._settle_unlocked(connection, process, verdicts, now, wanted if notify else NONE, times),
        )
        self._tell_of_cancelled(connection, landed, awaited and notify and not wanted.tell)
        return landed, locked

    def _tell_of_cancelled(self, connection: Connection, landed: Mapping[int, Settled | None], is_untold: bool) -> None:
        """Somebody had asked to cancel jobs that were to run again, and so they have ended. Only the reply tells. What is
        written stays written if this fails: those who wait for the jobs look again by themselves."""
        if is_untold and any(settled is not None and settled.cancelled is not None for settled in landed.values()):
            with suppress(DatabaseFailure):
                self._script.rows(connection, "tell_waiters", {"ended": self._script.ended_channel})

    def _settle_unlocked(
        self, connection: Connection, process: str, verdicts: Sequence[Verdict], now: float, wanted: Notifications, times: bool
    ) -> tuple[dict[int, Settled | None], Collection[int]]:
        with translated(connection), connection.transaction():
            uids = uuid_array([verdict.job.uid for verdict in verdicts])
            free = sorted(row[0] for row in self._script.rows(connection, "find_unlocked", {"uids": uids}, prepare=True))
            locked = self._find_held(connection, verdicts, set(range(1, len(verdicts) + 1)).difference(free))
            if not free:
                return {}, locked
            try:
                landed = self._settle_jobs(connection, process, [verdicts[place - 1] for place in free], now, wanted, times)
            except Transient as error:
                if error.sqlstate == LOCK_NOT_AVAILABLE:  # not of a row that was locked here: one of the verdicts is the cause
                    raise Unexplained(str(error), error.sqlstate) from error
                raise
        return {free[place - 1]: settled for place, settled in landed.items()}, locked

    def _find_held(self, connection: Connection, verdicts: Sequence[Verdict], places: Collection[int]) -> Collection[int]:
        """Those of these places whose jobs are still held: the others are gone, or were taken from this process."""
        if not places:
            return places
        keys = {place: verdicts[place - 1].job.key() for place in places}
        claims = {"uids": uuid_array(uid for uid, _ in keys.values()), "lease_nos": array(no for _, no in keys.values())}
        held = {(row[0], row[1]) for row in self._script.rows(connection, "find_held", claims)}
        return {place for place, key in keys.items() if key in held}

    def find_blockers(self, connection: Connection, uids: Collection[UUID]) -> list[tuple[str, float | None]]:
        """Who has locked the rows of these jobs, and for how many seconds the transactions have been open."""
        rows = self._script.rows(connection, "find_blockers", {"uids": uuid_array(uids)}, prepare=True)
        return [(row[0], row[1]) for row in rows]

    def rehearse_settlement(self, connection: Connection, process: str, verdict: Verdict) -> None:
        """Write the verdict in a transaction that is rolled back, to see whether PostgreSQL accepts it."""
        with translated(connection), connection.transaction(force_rollback=True):
            self._settle_jobs(connection, process, [verdict], time.monotonic(), NONE, False)
            Cursor(connection).execute("set constraints all immediate")  # a user's constraints may wait for the commit

    def _settle_jobs(
        self, connection: Connection, process: str, verdicts: Sequence[Verdict], now: float, wanted: Notifications, times: bool
    ) -> dict[int, Settled | None]:
        instants, claims = _claims_of(verdicts)
        parameters = {
            "process": process,
            **self._script.channels,
            "hint": wanted.hint,
            "times": times,
            "uids": uuid_array([verdict.job.uid for verdict in verdicts]),
            "lease_nos": array([verdict.job.lease_no for verdict in verdicts]),
            "statuses": words([verdict.status for verdict in verdicts]),
            "results": text_array([verdict.result for verdict in verdicts]),
            "delays": array([verdict.due_in for verdict in verdicts]),
            # Whole microseconds: PostgreSQL keeps no fractions, and printing a float takes twice as long.
            "begun_agos": array([None if verdict.begun is None else int((now - verdict.begun) * 1e6) for verdict in verdicts]),
            "attempt_statuses": words([verdict.attempt_status or "null" for verdict in verdicts]),
            "claims": array(claims),
            "claimed_ats": text_array(at.isoformat() for at in instants),
        } | _errors_of(verdicts)
        name = "settle_jobs_and_tell" if wanted.tell else "settle_jobs"
        rows = self._script.rows(connection, name, parameters, prepare=True)
        # A job that was to be cancelled (row[6]) has its times in any case.
        return {row[0]: settled_row(row[1:7]) if times or row[6] is not None else None for row in rows}

    def find_settled(self, connection: Connection, process: str, verdicts: Sequence[Verdict]) -> dict[int, Settled | None]:
        """Which verdicts the process of this name has written already: their places, counted from 1, with their times."""
        return {row[0]: settled_row(row[1:7]) for row in self._find_settled(connection, process, verdicts)}

    def find_completed(
        self, connection: Connection, process: str, verdicts: Sequence[Verdict]
    ) -> dict[int, tuple[Settled, bool, str | None]]:
        """Which of these verdicts' jobs have completed under their claims: their places, counted from 1, with their times,
        whether the result is still there, and the result."""
        rows = self._find_settled(connection, process, verdicts)
        return {row[0]: (settled_row(row[1:7]), row[8], row[9]) for row in rows if row[7] == "success"}

    def _find_settled(self, connection: Connection, process: str, verdicts: Sequence[Verdict]) -> list[tuple[Any, ...]]:
        jobs = [verdict.job for verdict in verdicts]
        claims = {
            "process": process,
            "uids": uuid_array(job.uid for job in jobs),
            "lease_nos": array(job.lease_no for job in jobs),
            "claimed_ats": text_array(job.claimed_at.isoformat() for job in jobs),
        }
        return self._script.rows(connection, "find_settled", claims)

    def forget_attempt(self, connection: Connection, verdict: Verdict) -> None:
        """Delete the attempt with the uid and lease_no of this verdict. This process still holds that lease, so no settlement
        wrote the attempt: it was left from another life of the job, or somebody wrote it by hand."""
        job = verdict.job
        claim = {"uid": job.uid, "lease_no": job.lease_no, "claimed_at": job.claimed_at.isoformat()}
        self._script.rows(connection, "forget_attempt", claim)


NONE = Notifications()


def _notifications(verdicts: Sequence[Verdict], awaited: bool) -> Notifications:
    return Notifications(notification(verdicts), awaited and any(verdict.is_final for verdict in verdicts))


def _errors_of(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """The arrays about errors. They are empty if there is no error, because that is quicker to write and to read."""
    columns: dict[str, Callable[[Verdict], str | None]] = {
        "errors": lambda verdict: verdict.error,
        "error_details": lambda verdict: verdict.details,
        "error_types": lambda verdict: verdict.error_type,
    }
    if not any(verdict.error is not None for verdict in verdicts):
        return dict.fromkeys(columns, "{}")
    return {name: text_array(map(value, verdicts)) for name, value in columns.items()}


def _claims_of(verdicts: Sequence[Verdict]) -> tuple[list[datetime], list[int]]:
    """The distinct times at which these jobs were claimed, and for each verdict the place of its time among them, counted from
    1. The times are few, because a claim brings many jobs."""
    instants: list[datetime] = []
    claims: list[int] = []
    last = None
    claim = 0
    for verdict in verdicts:
        if (at := verdict.job.claimed_at) != last:
            last = at
            if at not in instants:
                instants.append(at)
            claim = instants.index(at) + 1
        claims.append(claim)
    return instants, claims
