"""Runs one claimed job: calls the handler, has the outcome judged, puts the verdict into the settler's queue and logs it."""

from __future__ import annotations

import logging
import time
from typing import Protocol

from steve._engine.claim.neighbours import LastChance
from steve._engine.events.event import Event
from steve._engine.registry import Registry
from steve._engine.work.handlers import Handler
from steve._engine.work.run import run
from steve._engine.work.running import RunningJobs
from steve._engine.work.setup import Setups
from steve._model.claimed import Claimed
from steve._model.outcome import Completing, NotBegun, Outcome, Raised, Verdict, attempts_spent, judge
from steve._runtime.chance import chance
from steve._runtime.log import logger
from steve.job import Status


class VerdictPort(Protocol):
    """The settler's queue, as a worker sees it."""

    def put(self, verdict: Verdict) -> None: ...

    def announce(self, event: Event) -> None:
        """A run begins. The event goes through this queue, because the end of the previous attempt may still be in it."""


class SizerPort(Protocol):
    def ran(self, type: str, seconds: float) -> None:
        """A job of this type took so long."""


class ClaimsPort(Protocol):
    """The claims, as a worker sees them."""

    @property
    def last_chance(self) -> LastChance: ...

    @property
    def sizer(self) -> SizerPort: ...


FinishedRun = tuple[Verdict, Outcome, float]
"""The last one: how many seconds it took. A plain tuple, because one is made for every run."""


class Worker:
    """All worker threads share one object."""

    def __init__(
        self,
        *,
        process: str,
        registry: Registry,
        claimer: ClaimsPort,
        queue: VerdictPort,
        running: RunningJobs,
        setups: Setups,
    ) -> None:
        """`process`: the name of this process, for listeners."""
        self.running = running
        self._last_chance = claimer.last_chance
        self._process = process
        self._registry = registry
        self._claimer = claimer
        self._queue = queue
        self._setups = setups

    def work(self, job: Claimed, *, alone: bool = False) -> None:
        """`alone`: the job is on its last chance."""
        handler = self._registry.handlers.get(job.type)
        if handler is None:  # unregistered since the claim
            self._queue.put(judge(job, NotBegun(), None))
            return
        finished = None
        try:
            begun = self.running.add(job)
            # Read the flag after `add`. The worker that runs jobs alone reads the running jobs after the flag is set. So either
            # this thread sees the flag, or that thread sees this job. The same holds for a cancel that is heard of now.
            may_begin = alone or not self._last_chance.is_due
            if may_begin and not self.running.signals.must_not_begin(job):
                finished = self._run(job, handler, begun)
            self._queue.put(judge(job, NotBegun(), None) if finished is None else finished[0])
        finally:  # even after an interruption: `liveness/reconcile.py` frees a job that neither runs nor has a verdict
            self.running.remove(job)
        if finished is not None:
            self._claimer.sizer.ran(job.type, finished[2])
            try:
                _log(*finished)  # last, because a log handler of the application may be slow
            finally:
                del finished  # its error's traceback refers to this frame; the cycle would keep the handler's locals alive

    def _run(self, job: Claimed, handler: Handler, begun: float) -> FinishedRun:
        try:
            if self._registry.listeners.want_begin(job.type):
                self._queue.announce(Event(job, self._process, None, None))
            signals, setups, terms_of = self.running.signals, self._setups, self._registry.handlers.terms
            outcome = run(job, handler, signals, setups.max_result_bytes, terms_of, begun, setups.of(job))
        except BaseException as error:  # raised into this thread from outside; the job still needs a verdict
            outcome = Raised(f"{type(error).__name__}: the run was broken off", "")
        seconds = time.monotonic() - begun
        try:
            return judge(job, outcome, begun, chance.random(), seconds), outcome, seconds
        finally:
            del outcome  # as in work()


def _log(verdict: Verdict, outcome: Outcome, seconds: float) -> None:
    """One line for the end of each attempt."""
    level = logging.INFO
    if verdict.counts and verdict.error is not None and verdict.status is not Status.CANCELLED:
        level = logging.ERROR if verdict.status is Status.FAILED else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    job = verdict.job
    text = "job %s (%s) attempt %d of %d %s after %.3f s"
    values: list[object] = [job.uid, job.type, attempts_spent(job), job.max_attempts, _what(verdict), seconds]
    if isinstance(outcome, Completing):
        if verdict.status is not Status.COMPLETED:
            text += ", unless its complete() was committed"
        outcome = outcome.otherwise
    error = outcome.error if isinstance(outcome, Raised) else None
    if verdict.error is not None and error is None:  # there is no exception that can be printed, so log what is stored
        text += "\n%s"
        values.append(verdict.details or verdict.error)
    logger.log(level, text, *values, exc_info=error, extra=job.log_extra())


def _what(verdict: Verdict) -> str:
    if verdict.is_final:
        return str(verdict.status)
    return f"{'failed, to be tried again' if verdict.counts else 'snoozed'} (in {verdict.delay:.1f} s)"
