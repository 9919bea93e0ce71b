"""The thread that writes outcomes. It takes the verdicts that wait, writes them in one statement, and then takes those that
have come meanwhile. So groups form by themselves under load, and a single verdict is written at once. Handlers of a few
milliseconds would make many small groups, and a statement costs as much as ten verdicts, so a busy settler waits for two
milliseconds between two groups.

While the manager runs, no outcome is given up. A verdict that PostgreSQL does not take is deferred and tried again, so that it
does not hold up others. The settler writes an outcome without its data only after it has tried both, and PostgreSQL took the
outcome without the data and refused it with the data.

How the settler reacts to which error: `reactions.py`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Protocol
from uuid import UUID

from steve._database.backoff import Backoff
from steve._database.failures import DatabaseFailure
from steve._engine.events.event import Event
from steve._engine.settle.aside import Aside
from steve._engine.settle.completions import decided, in_parts, may_have_completed
from steve._engine.settle.postponed import Postponed
from steve._engine.settle.queue import SettleQueue
from steve._engine.settle.reactions import (
    Reaction,
    is_left_from_another_life,
    may_have_been_written,
    reaction_to,
    reason_of,
    text_of,
    without_data,
)
from steve._engine.upkeep.outage import Outage
from steve._model.claimed import ClaimKey, Settled
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from steve._runtime.log import logger
from steve.job import Status

LOOP = "settling"

Landed = dict[int, Settled | None]
"""The verdicts of a group that are in the database, by their place in the group, counted from 1. None: the verdict is written,
and no listener wants to know about it. The claim key could not take the place's role: a standby that is promoted may give a
lease_no out again while the handler of the earlier claim runs. Then two verdicts of a group have the same claim key."""


class SettlePort(Protocol):
    """What the settler asks of the database. All methods raise DatabaseFailure."""

    def write(self, verdicts: Sequence[Verdict], now: float) -> Landed:
        """Write these verdicts, except those whose jobs this process no longer holds. Returns which ones it has written. `now`:
        time.monotonic()."""

    def write_unlocked(self, verdicts: Sequence[Verdict], now: float) -> tuple[Landed, Collection[int]]:
        """As `write`, but pass by the jobs whose rows somebody else has locked. Also returns the places of these."""

    def find_blockers(self, jobs: Collection[UUID]) -> Sequence[tuple[str, float | None]]:
        """Who has locked the rows of these jobs, and for how many seconds the transactions have been open."""

    def find_written(self, verdicts: Sequence[Verdict]) -> Landed:
        """Which of these verdicts are in the database already."""

    def find_completed(self, verdicts: Sequence[Verdict]) -> Mapping[int, tuple[Settled, bool, str | None]]:
        """Which of these verdicts' jobs `run.complete()` has completed, by their places: see completions.py."""

    def rehearse(self, verdict: Verdict) -> None:
        """Write it in a transaction that is rolled back."""

    def forget_attempt(self, verdict: Verdict) -> None:
        """Delete a row of the log that has the verdict's uid and lease_no, though no settlement of this lease wrote it. It may
        have been left from another life of the job, whose row was then restored from a dump."""


class CommitPort(Protocol):
    """What the settler reports. It calls these methods on its own thread."""

    def on_begun(self, event: Event) -> None: ...

    def on_settled(self, verdict: Verdict, settled: Settled | None) -> None:
        """After the commit."""

    def on_group_settled(self, verdicts: Sequence[Verdict]) -> None:
        """All of a group that `on_settled` was called for. After the commit."""

    def on_dropped(self) -> None:
        """A verdict was not written, because this process does not hold the job any more."""

    def on_all_settled(self) -> None:
        """Nothing comes after this."""


class Settler:
    def __init__(
        self, *, queue: SettleQueue, database: SettlePort, commits: CommitPort, outage: Outage, tuning: Tuning
    ) -> None:
        self._queue = queue
        self._database = database
        self._commits = commits
        self._outage = outage
        self._tuning = tuning
        self._backoff = Backoff(tuning)
        self._deadline: float | None = None
        # The verdicts that were taken from the queue and are neither written nor deferred, in order. If something breaks this
        # thread off, run() begins again with these.
        self._open: deque[Verdict] = deque()
        self._open_since = 0.0
        self._is_ended = False
        self._refused = 0  # how many verdicts were refused in a row
        self._forgotten: set[ClaimKey] = set()  # verdicts of this group for which forget_attempt() was called
        self.aside = Aside(queue=queue, find_blockers=database.find_blockers, tuning=tuning)
        self._postponed = Postponed(queue=queue, aside=self.aside, tuning=tuning)

    # -- from any thread ------------------------------------------------------------------------------------------------

    def waiting(self) -> int:
        """How many verdicts are not in the database yet."""
        return len(self._queue) + len(self._open) + len(self._postponed.all())

    def claims(self) -> set[ClaimKey]:
        """The claim keys of the verdicts that are being written or are deferred or set aside."""
        return {one.verdict.job.key() for one in self._postponed.all()} | {one.job.key() for one in self._open.copy()}

    def vitals(self) -> dict[str, object]:
        """For `health()`: for how many seconds the oldest verdict that is being written or is deferred or set aside has waited,
        and which sessions hold up an outcome."""
        since = [one.since for one in self._postponed.all()]
        if self._open:
            since.append(self._open_since)
        oldest = time.monotonic() - min(since) if since else 0.0
        return {"oldest_unsettled": oldest, "blockers": self.aside.blockers}

    def set_deadline(self) -> None:
        """The engine stops. If the database is away when `settle_deadline` is over, give up, so that the process can end."""
        self._deadline = time.monotonic() + self._tuning.settle_deadline

    # -- the loop -------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            self._queue.reset_if_empty()
            if self._open:
                self._settle_all(list(self._open), doubtful=True)
            while not self._is_ended:
                self._take_and_settle()
            while self._postponed.all():
                if self._is_past_deadline():
                    raise _GivenUp
                time.sleep(self._postponed.seconds_to_retry() or 0.0)
                self._retry_what_is_due()
        except _GivenUp:
            logger.error("the database did not take the outcome of %d attempts: it is not recorded", self.waiting())
        self._commits.on_all_settled()

    def _take_and_settle(self) -> None:
        batch = self._queue.take(self._postponed.seconds_to_retry())
        self._is_ended = batch.ended
        groups = in_parts(batch.verdicts)
        self._open_since = time.monotonic()  # before _open is filled: another thread may call vitals() in between
        self._open.extend(chain.from_iterable(groups))
        for event in batch.begun:
            self._commits.on_begun(event)
        for group in groups:
            self._settle_all(group, doubtful=False)
        self._retry_what_is_due()

    def _settle_all(self, group: Sequence[Verdict], doubtful: bool) -> None:
        self._refused = 0
        self._forgotten.clear()
        self._settle(group, doubtful)

    def _settle(self, group: Sequence[Verdict], doubtful: bool) -> None:
        """Write a group, and defer what cannot be written. `doubtful`: an earlier try may have written the group."""
        while self._refused < self._tuning.refusals_in_a_row:
            completing = may_have_completed(group)
            is_careful = completing or self.aside.is_careful()
            locked: Collection[int] = ()
            try:
                if is_careful:
                    landed, locked = self._database.write_unlocked(group, time.monotonic())
                else:
                    landed = self._database.write(group, time.monotonic())
                if completing:
                    doubtful = True  # if the next statement fails, all is done again
                    group, landed = decided(group, landed, locked, self._database.find_completed)
                if doubtful and len(landed) + len(locked) < len(group):
                    # Ask only after the write, because the write waits for the row locks of the try whose reply was lost, or
                    # passes them by.
                    landed |= self._database.find_written(group)
            except Exception as error:
                reaction = reaction_to(error, was_careful=is_careful)
                if reaction is Reaction.PASS_BY:
                    self.aside.met_lock()
                    continue
                if reaction is Reaction.LOOK_CLOSER:
                    self._look_closer(group, error, doubtful or may_have_been_written(error))
                    return
                doubtful = doubtful or reaction is Reaction.WAIT_IN_DOUBT
                self._wait(error)
            else:
                self._on_written(group, landed, locked, doubtful)
                return
        for verdict in group:  # PostgreSQL takes nothing at present, so the rest is not tried one by one
            self._defer(verdict, doubtful, None)

    def _on_written(self, group: Sequence[Verdict], landed: Landed, locked: Collection[int], doubtful: bool) -> None:
        self._outage.worked(LOOP)
        self._backoff.reset()
        self._refused = 0
        settled: list[Verdict] = []
        for place, verdict in enumerate(group, 1):
            self._open.popleft()
            if place in landed:
                at = landed[place]
                if at is not None and at.cancelled is not None:
                    verdict = _as_cancelled(verdict, at.cancelled)
                settled.append(verdict)
                self._commits.on_settled(verdict, at)
            elif place in locked:
                self.aside.add(self._postponed.entry(verdict, self._open_since, doubtful))
            elif not doubtful or verdict.counts:
                text = "job %s was taken from this process while attempt %d ran: its outcome (%s) is dropped"
                _log(logging.WARNING, text, verdict, verdict.status)
                self._commits.on_dropped()
            # Otherwise a try whose reply was lost may have written the verdict. Nothing can tell, because an attempt that does
            # not count leaves no row in the log. No listener is told of such an attempt anyway.
        self._commits.on_group_settled(settled)

    def _look_closer(self, group: Sequence[Verdict], error: Exception, doubtful: bool) -> None:
        """PostgreSQL does not take this group. Halve it until the refused verdict is alone. If an older row of the log is in
        its way, remove that row. If its data proves to be the cause, write it without the data. Otherwise defer it."""
        if len(group) > 1:
            middle = len(group) // 2
            self._settle(group[:middle], doubtful)
            self._settle(group[middle:], doubtful)
            return
        (verdict,) = group
        claim = verdict.job.key()
        try:
            if is_left_from_another_life(error) and claim not in self._forgotten:
                self._forgotten.add(claim)
                self._database.forget_attempt(verdict)
                self._settle([verdict], doubtful)
                return
            for less, instead in without_data(verdict, reason_of(error)):
                if _can_be_written(self._database, less) and not _can_be_written(self._database, verdict):
                    text = "job %s: the outcome of attempt %d cannot be stored: %s"
                    _log(logging.ERROR, text, verdict, reason_of(error))
                    self._open[0] = instead
                    self._settle([instead], doubtful)
                    return
        except DatabaseFailure as met:
            error = met
        self._defer(verdict, doubtful, error)

    # -- verdicts that were not written ---------------------------------------------------------------------------------

    def _defer(self, verdict: Verdict, doubtful: bool, error: Exception | None) -> None:
        """`error`: why the verdict cannot be written; None: it was not tried alone, because too many others were refused."""
        self._refused += 1
        one = self._postponed.entry(verdict, self._open_since, doubtful)
        if error is not None:
            if isinstance(error, DatabaseFailure):
                self._outage.failed(LOOP, error)
            if not one.was_logged:
                text = "job %s: the outcome of attempt %d cannot be written now and will be tried again: %s"
                _log(logging.WARNING, text, verdict, text_of(error))
                one = one._replace(was_logged=True)
        # Remove it from _open before adding it to the deferred. If something breaks this thread off in between, the verdict is
        # lost and its job is freed. In the other order the verdict would be written and told twice.
        self._open.popleft()
        self._postponed.defer(one)

    def _retry_what_is_due(self) -> None:
        while due := self._postponed.due():
            group = [one.verdict for one in due]
            self._open_since = min(one.since for one in due)
            self._open.extend(group)
            self._postponed.begin_retry(due)
            self._settle_all(group, any(one.doubtful for one in due))
            self._postponed.end_retry()

    # -- waiting for the database ---------------------------------------------------------------------------------------

    def _wait(self, error: Exception) -> None:
        self._outage.failed(LOOP, error)
        if self._is_past_deadline():
            raise _GivenUp
        time.sleep(self._backoff.next())

    def _is_past_deadline(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline


def _as_cancelled(verdict: Verdict, error: str) -> Verdict:
    """The verdict that was written instead, because somebody had asked to cancel the job."""
    if verdict.status is Status.CANCELLED:
        return verdict
    verdict = verdict.cancelled(error)
    _log(logging.INFO, "job %s was to be cancelled, and is: attempt %d was its last", verdict)
    return verdict


def _can_be_written(database: SettlePort, verdict: Verdict) -> bool:
    """Try to write the verdict, without a commit. Raises DatabaseFailure if an error has a cause other than the verdict."""
    try:
        database.rehearse(verdict)
    except Exception as error:
        if reaction_to(error) is not Reaction.LOOK_CLOSER:
            raise
        return False
    return True


def _log(level: int, text: str, verdict: Verdict, *values: object) -> None:
    job = verdict.job
    logger.log(level, text, job.uid, job.attempts, *values, extra=job.log_extra())


class _GivenUp(Exception):
    """The engine stops, and the database did not take the outcomes before the deadline."""
