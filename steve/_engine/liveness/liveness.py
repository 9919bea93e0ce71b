"""Wires the heartbeat of this process, the rescue of other processes' jobs, and two searches: for jobs that this process has
lost to a rescue, and for jobs that it holds without knowing.

The heartbeat has a thread of its own; the rest is a duty of the scanner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from steve._database.backoff import Backoff
from steve._database.failures import DatabaseFailure
from steve._database.statements.processes import Look, Registered, Review
from steve._engine.claim.pauses import Pauses
from steve._engine.liveness.heartbeat import BeatPort, Heartbeat
from steve._engine.liveness.reconcile import Held, Reconcile
from steve._engine.liveness.rescue import Rescue, RescuePort
from steve._engine.settle.awaited import Awaited
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.periodic import Duty
from steve._engine.work.running import Runs
from steve._model.claimed import ClaimKey, Settled
from steve._model.outcome import Verdict
from steve._model.process import Observer
from steve._model.settings import Settings
from steve._runtime.log import logger
from steve.job import Status

LOOP = "the rescue"


class LivenessPort(BeatPort, RescuePort, Protocol):
    """What liveness asks of the database. All methods but `met_server` raise DatabaseFailure."""

    def met_server(self, started: float) -> None:
        """The heartbeat's connection leads to a server that started at this time, by the server's clock."""

    def free(self, claims: Collection[ClaimKey], reason: str) -> Sequence[tuple[Verdict, Settled]]:
        """Take the jobs of these claims away from this process. Returns what became of each job."""

    def review(self, held: Callable[[], Held]) -> tuple[Held, Review]:
        """Returns the claims that this process knows of, and what the tables say. `held()` is called after the connection was
        opened and right before the question is sent. So a job that is settled meanwhile is known here and not in the tables,
        which does no harm."""

    def find_held(self, claims: Sequence[ClaimKey]) -> set[ClaimKey]:
        """Which of these claims still hold."""

    def check_access(self) -> list[str]:
        """What keeps this role from its work, in sentences."""


class HoldingPort(Protocol):
    """The engine, as liveness sees it."""

    process: str
    """The name of this process."""
    stopping: bool
    awaited: Awaited
    pauses: Pauses

    def held(self) -> Held: ...

    def ask_what_was_lost(self) -> bool:
        """Returns whether the reply to a claim was lost lately. If so, the claimer asks now what that claim took."""

    def on_rescued(self, process: str, verdict: Verdict, settled: Settled) -> None:
        """A job was taken away because the process with this name died or fell silent while it held the job, or did not know
        that it held the job. Called after the commit, on the scanner's thread."""


class Liveness:
    def __init__(
        self,
        *,
        database: LivenessPort,
        registered: Registered,
        running: Runs,
        engine: HoldingPort,
        outage: Outage,
        settings: Settings,
    ) -> None:
        self._database = database
        self._running = running
        self._engine = engine
        self._outage = outage
        self._settings = settings
        tuning = settings.tuning
        self._rescue = Rescue(database=database, tell=engine.on_rescued, tuning=tuning)
        self._reconcile = Reconcile(look=self._review, free=self._free, interval=settings.lease, tuning=tuning)
        self._backoff = Backoff(tuning)
        self._not_before = 0.0
        self._server_started = registered.server_started  # by the server's clock
        self._server_up = 0.0  # how long the server had run when this process first saw it, by the server's clock
        # When this process first saw it, by its own clock, which measures the time since then: the server's clock may be set.
        self._server_seen_at: float | None = None
        self._connected = 0.0
        self._may_have_lost = False
        self.access: list[str] = []
        """What keeps this role from its work, in sentences: rights that it lost, row level security."""
        self._restricted = registered.restricted
        self._access_is_due = False
        self._access_at = time.monotonic()
        self.heartbeat = Heartbeat(
            database=database,
            looks=self,
            interval=settings.heartbeat,
            descriptor=registered.descriptor,
            outage=outage,
            tuning=tuning,
        )

    def duties(self) -> list[Duty]:
        return [Duty("rescue", self._settings.tuning.scan_check, self._work)]

    # -- from any thread ------------------------------------------------------------------------------------------------

    def doubt_everything(self) -> None:
        """Other processes may have jobs that this one runs, and it may hold jobs without knowing."""
        self._may_have_lost = True
        self._reconcile.begin()

    def doubt_tables(self) -> None:
        """An outcome was dropped. The tables may say that this process still holds the job."""
        self._reconcile.begin()

    # -- on the heartbeat's thread --------------------------------------------------------------------------------------

    def on_look(self, look: Look, *, connected: float, unbroken: float) -> None:
        started = self._server_started if look.server_started is None else look.server_started
        if started != self._server_started or connected < self._connected:
            # The connection is new, or a pooler leads to another server. Another server may lack commits, and so may the same
            # one after a crash.
            self.doubt_everything()
        self._database.met_server(started)
        self._engine.awaited.hear(look.awaited)
        self._engine.pauses.hear(look.pauses)
        now = time.monotonic()
        if self._server_seen_at is None or started != self._server_started:
            self._server_up, self._server_seen_at = max(look.seen_at - started, 0.0), now
        self._server_started, self._connected = started, connected
        if look.restricted is not None:
            # A restricted role may still have all the rights that it needs, so ask again once a lease.
            again = look.restricted and now >= self._access_at + self._settings.lease
            self._access_is_due = self._access_is_due or again or look.restricted is not self._restricted
            self._restricted = look.restricted
        self._rescue.look(look.others, Observer(connected, unbroken, self._server_up + now - self._server_seen_at))

    def on_doubt(self) -> None:
        self._may_have_lost = True

    # -- on the scanner's thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        if time.monotonic() < self._not_before:
            return
        try:
            self._check_access()
            worked = self._look_for_lost()
            worked = self._reconcile.work(self._engine.held().settled) or worked
            if not self._engine.stopping:  # a stopping process may end before it tells the listeners of rescued jobs
                worked = self._rescue.work() or worked
            if worked:
                self._outage.worked(LOOP)
                self._backoff.reset()
        except DatabaseFailure as error:
            self._not_before = time.monotonic() + self._backoff.next()
            self._outage.failed(LOOP, error)
            self._reconcile.begin()  # so that there is a statement to try, which finds out when the outage is over

    def _check_access(self) -> None:
        if self._access_is_due:
            self._access_is_due = False
            self._access_at = time.monotonic()
            self.access = self._database.check_access()

    def _look_for_lost(self) -> bool:
        """If this process may have lost jobs, find out which running jobs a rescue has taken. Returns whether there was cause
        to ask. Such a rescue has ended by now, because the beat that gave the cause waited for it. Raises DatabaseFailure."""
        if not self._may_have_lost:
            return False
        self._may_have_lost = False  # before the question, so that a doubt that arises meanwhile stays
        running = self._running.claims()
        if running:
            try:
                held = self._database.find_held(running)
            except BaseException:
                self._may_have_lost = True
                raise
            self._running.lose(set(running) - held)
        return True

    def _review(self) -> tuple[Held, set[ClaimKey]]:
        held, review = self._database.review(self._engine.held)
        if review.adopted:
            logger.warning("processes without a row hold jobs: %s; these are rescued unless a heartbeat comes", review.adopted)
        return held, review.own

    def _free(self, claims: set[ClaimKey]) -> None:
        if self._engine.ask_what_was_lost():
            return  # that claim may have taken these jobs: they will run here, without a crash being counted
        name = self._engine.process
        freed = self._database.free(claims, f"JobLost: process {name} held the job by the tables and did not run it")
        if freed:
            logger.warning("by the tables this process held %d jobs that it did not run: they are freed", len(freed))
        for verdict, settled in freed:
            if verdict.status is Status.FAILED:
                logger.error("job %s failed: %s", verdict.job.uid, verdict.error, extra=verdict.job.log_extra())
            self._engine.on_rescued(name, verdict, settled)
