"""Claims, runs and settles jobs that are due, one after the other, on the calling thread.

It is an engine without threads: the claims, the worker, the settler and the listeners are those of wiring.py, in one loop. What
they would hand on through queues goes from one to the next here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from dataclasses import replace
from typing import Any, NamedTuple

from steve._database.statements.callers import CallersStatements
from steve._engine.claim.database import DatabaseClaims
from steve._engine.claim.neighbours import LastChance
from steve._engine.claim.pauses import Pauses
from steve._engine.claim.sizer import ClaimSizer
from steve._engine.events.event import Event
from steve._engine.figures.figures import Figures
from steve._engine.inline.place import Place
from steve._engine.inline.process import DrainProcess
from steve._engine.records.recorder import Recorder
from steve._engine.records.records import Records
from steve._engine.registry import Registry
from steve._engine.settle.awaited import Awaited
from steve._engine.settle.commits import AfterCommit, Commits
from steve._engine.settle.database import DatabaseSettlement
from steve._engine.settle.queue import SettleQueue
from steve._engine.settle.settler import Settler
from steve._engine.upkeep.outage import Outage
from steve._engine.work.completions import Completions
from steve._engine.work.deadlines import Deadlines
from steve._engine.work.handlers import Handler
from steve._engine.work.limit import Limit, Limits
from steve._engine.work.running import AllRunning, RunningJobs
from steve._engine.work.setup import Setups
from steve._engine.work.worker import FinishedRun, Worker
from steve._model import json as _json
from steve._model.claimed import Claimed, Settled
from steve._model.outcome import Completing, NotBegun, Outcome, Overdue, Raised, Verdict, is_overdue, judge
from steve._model.settings import Settings
from steve.errors import SteveError
from steve.job import Job, Status

PATIENCE = 10.0
"""For how many seconds an outcome is tried again that the database does not take, because somebody has locked the row, say."""


class Chosen(NamedTuple):
    """Which jobs to drain."""

    types: Sequence[str] | None
    """None: all that have a handler."""
    scheduled: bool
    """Also jobs that are not due yet, in the order of time."""


class Drained(NamedTuple):
    """What became of one job that was claimed."""

    job: Job
    """As it is afterwards, or, if the outcome was dropped, as it was claimed."""
    verdict: Verdict
    outcome: Outcome | None
    """None: the job has not begun."""
    raised: BaseException | None
    """What the handler raised."""
    is_written: bool
    """False: the job was not held any more, so its outcome was dropped."""

    def error(self) -> BaseException | None:
        """What made the attempt fail: what the handler raised, or a hook in its place."""
        outcome = self.outcome.otherwise if isinstance(self.outcome, Completing) else self.outcome
        if not isinstance(outcome, Raised):
            return None
        return self.raised if outcome.error is None else outcome.error


class Drain:
    def __init__(
        self, *, place: Place, statements: CallersStatements, registry: Registry, settings: Settings, chosen: Chosen
    ) -> None:
        tuning = replace(settings.tuning, settle_deadline=PATIENCE)
        self._place = place
        self._statements = statements
        self._registry = registry
        self._chosen = chosen
        self._tuning = tuning
        self._events = Events()
        pauses = Pauses()
        self._process = DrainProcess(
            place=place, statements=statements, settings=settings, pauses=pauses, on_rescued=self._on_rescued
        )
        process = self._process.name

        self._sizer = ClaimSizer(handlers=registry.handlers, workers=1, tuning=tuning, pauses=pauses)
        self._claims = DatabaseClaims(
            statements=statements.claims,
            connection=place,
            process_id=self._process.id,
            settings=settings,
            pauses=pauses,
        )

        self._timers = Timers()
        records = Records(capture_of=lambda name: registry.capture_of(name, settings), tuning=tuning)
        recorder = Recorder(records=records, statements=statements.records, scan=place, settle=place, tuning=tuning)
        completions = Completions(
            process=process,
            statements=statements.completion,
            connections=place,
            max_result_bytes=settings.max_result_bytes,
            workers=lambda: 1,
            awaited=lambda: False,  # an outcome tells nobody here, before the caller's commit
        )
        everywhere = AllRunning(deadlines=self._timers.deadlines, completions=completions, records=records, pauses=pauses)
        running = RunningJobs(workers=1, everywhere=everywhere)
        everywhere.pools = (running,)
        limits = Limits(handlers=registry.handlers, settings=settings, deadlines=self._timers.deadlines, stuck=NobodyStuck())
        self._verdicts = Verdicts()
        self._worker = InlineWorker(
            process=process,
            registry=registry,
            claimer=InlineClaims(LastChance(clock=time.monotonic), self._sizer),
            queue=self._verdicts,
            running=running,
            # On the caller's thread, the handlers and hooks see what the caller has set, such as Flask's current app.
            setups=Setups(registry=registry, limits=limits, records=records, settings=settings, context=copy_context),
        )
        self._worker.wrap = place.handler

        self._settlement = DatabaseSettlement(
            connection=place,
            statements=statements.settlement,
            process=process,
            notify=False,
            are_wanted=lambda verdicts: True,
            awaited=Awaited(),
            write_before=recorder.write_ended,
        )
        self._commits = NotedCommits(
            process=process,
            expect=lambda queue, seconds: None,
            listeners=registry.listeners,
            dispatcher=self._events,
            doubt_tables=lambda: None,
            after=AfterCommit(records, Figures(tuning=tuning)),
        )

    def run(self, most: int) -> Iterator[Drained]:
        """Yields what became of each job, until none is due. Stops after `most` jobs; then the next one is yielded as one that
        was not begun. Raises DatabaseFailure and, if an outcome cannot be written, SteveError."""
        try:
            self._process.enter()
            self._place.within(self._tell)  # of jobs that were taken over
            done = 0
            while (job := self._next()) is not None:
                yield self._drain(job, may_begin=done < most)
                if done == most:
                    return
                done += 1
        finally:
            self._timers.end()
            self._process.leave()

    # -- claiming -------------------------------------------------------------------------------------------------------

    def _next(self) -> Claimed | None:
        self._process.beat()
        while (job := self._claim()) is None:
            if not self._chosen.scheduled or not self._move_horizon():
                return None
        return job

    def _claim(self) -> Claimed | None:
        demand = self._sizer.demand(idle=1, buffered=0, watermarks=None)._replace(n=1, crashed=0)
        if self._chosen.types is not None:
            demand = demand._replace(mosts=dict.fromkeys(self._chosen.types, 1), any_type=False)
        reply = self._claims.claim(demand)
        if not reply.jobs:  # those that crashed are claimed apart
            reply = self._claims.claim(demand._replace(n=0, crashed=1))
        if not reply.jobs and reply.last_chance:
            reply = self._claims.claim(demand._replace(n=0, crashed=1, alone=True))
        return reply.jobs[0] if reply.jobs else None

    def _move_horizon(self) -> bool:
        """Have the next job be due. Returns False if there is none."""
        demand = self._sizer.demand(idle=1, buffered=0, watermarks=None)
        if self._chosen.types is not None:
            demand = demand._replace(mosts=dict.fromkeys(self._chosen.types, 1), any_type=False)
        heads = self._place.call(lambda ours: self._statements.claims.find_heads(ours, demand))
        next_at = min((run_at for run_at, _ in heads.values()), default=None)
        horizon = self._statements.horizon
        if next_at is None or (horizon.due_by is not None and next_at <= horizon.due_by):
            return False  # what is due by the horizon and was not claimed is locked by somebody else
        horizon.due_by = next_at
        return True

    # -- one job --------------------------------------------------------------------------------------------------------

    def _drain(self, job: Claimed, *, may_begin: bool) -> Drained:
        self._worker.outcome = self._worker.raised = None
        if not may_begin:
            self._verdicts.put(judge(job, NotBegun(), None))
        elif is_overdue(job, 0.0):
            self._verdicts.put(judge(job, Overdue(), None))
        else:
            self._place.within(lambda: self._worker.work(job))
        verdict, settled = self._settle(*self._verdicts.take())
        self._place.within(self._tell)
        if settled is None:
            return Drained(
                job.job(_json.decode_or_text, Status.RUNNING), verdict, self._worker.outcome, self._worker.raised, False
            )
        made = Event(job, self._process.name, verdict, settled).make_job()
        return Drained(made, verdict, self._worker.outcome, self._worker.raised, True)

    def _settle(self, begun: Sequence[Event], verdict: Verdict) -> tuple[Verdict, Settled | None]:
        queue = SettleQueue(tuning=self._tuning)
        for event in begun:
            queue.announce(event)
        queue.put(verdict)
        queue.end()
        self._commits.forget()
        settler = Settler(queue=queue, database=self._settlement, commits=self._commits, outage=Outage(), tuning=self._tuning)
        settler.set_deadline()
        settler.run()
        if self._commits.written is not None:
            return self._commits.written
        if not self._commits.was_dropped:
            raise SteveError(f"the outcome of job {verdict.job.uid} cannot be written: {self._place.failure}")
        return verdict, None

    def _on_rescued(self, process: str, verdict: Verdict, settled: Settled) -> None:
        self._commits.on_rescued(process, verdict, settled)

    def _tell(self) -> None:
        while self._events.waiting:
            self._registry.listeners.tell(self._events.waiting.popleft())


class InlineClaims(NamedTuple):
    """Implements `ClaimsPort`."""

    last_chance: LastChance
    sizer: ClaimSizer


class InlineWorker(Worker):
    """Keeps the outcome of the last run, and what its handler raised."""

    outcome: Outcome | None = None
    raised: BaseException | None = None
    wrap: Callable[[Handler], Handler]

    def _run(self, job: Claimed, handler: Handler, begun: float) -> FinishedRun:
        call = self.wrap(handler)

        def noted(job: Job) -> Any:
            try:
                return call(job)
            except BaseException as error:
                self.raised = error
                raise

        finished = super()._run(job, noted, begun)
        self.outcome = finished[1]
        return finished


class Verdicts:
    """Implements `VerdictPort`: the worker's verdict on one job, and the beginning of its run."""

    def __init__(self) -> None:
        self._begun: list[Event] = []
        self._verdicts: list[Verdict] = []

    def put(self, verdict: Verdict) -> None:
        self._verdicts.append(verdict)

    def announce(self, event: Event) -> None:
        self._begun.append(event)

    def take(self) -> tuple[list[Event], Verdict]:
        begun, (verdict,) = self._begun, self._verdicts
        self._begun, self._verdicts = [], []
        return begun, verdict


class Events:
    """Implements `EventsPort`: listeners are told after the settlement."""

    def __init__(self) -> None:
        self.waiting: deque[Event] = deque()

    def put(self, event: Event) -> None:
        self.waiting.append(event)

    def end(self) -> None:
        pass

    def is_full(self, seconds: float = 0.0) -> bool:
        return False


class NotedCommits(Commits):
    """Keeps what became of the last verdict."""

    written: tuple[Verdict, Settled | None] | None = None
    was_dropped = False

    def forget(self) -> None:
        self.written, self.was_dropped = None, False

    def on_settled(self, verdict: Verdict, settled: Settled | None) -> None:
        self.written = verdict, settled
        super().on_settled(verdict, settled)

    def on_dropped(self) -> None:
        self.was_dropped = True
        super().on_dropped()


class Timers:
    """A thread that watches the timeouts, if there are any."""

    def __init__(self) -> None:
        self.deadlines = Deadlines(start=self._start)
        self._thread: threading.Thread | None = None

    def _start(self, run: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=run, name="steve-deadlines", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.deadlines.end()
        if self._thread is not None:
            self._thread.join()


class NobodyStuck:
    """Implements `StuckPort`. A handler that does not come back holds up its caller, and nothing runs in its place."""

    def add(self, limit: Limit) -> None:
        pass

    def remove(self, limit: Limit) -> None:
        pass
