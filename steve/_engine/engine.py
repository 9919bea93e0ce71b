"""What works between one `start()` and the end after it. How it is put together, and who ends whom: `wiring.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from steve._database.failures import Connection, InDoubt
from steve._database.loop_connection import LoopConnections
from steve._database.statements.processes import ProcessStatements
from steve._engine.claim.claimer import Claimer
from steve._engine.events.dispatcher import Dispatcher
from steve._engine.health import Idle, Outages, judge_health
from steve._engine.liveness.liveness import Liveness
from steve._engine.liveness.reconcile import Held
from steve._engine.settle.commits import Commits
from steve._engine.settle.queue import SettleQueue
from steve._engine.settle.settler import Settler
from steve._engine.upkeep.abandonment import Abandonment
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.periodic import Periodic
from steve._engine.upkeep.replacement import Replacement
from steve._engine.upkeep.threads import Threads, call_aside
from steve._engine.work.pool import WorkerPool
from steve._engine.work.running import RunningJobs, log_stacks
from steve._model import json as _json
from steve._model.claimed import Settled
from steve._model.outcome import Verdict
from steve._model.settings import Settings
from steve._runtime.exit import interpreter
from steve._runtime.log import logger
from steve.health import Health
from steve.job import Status
from steve.report import StopReport


class Component(NamedTuple):
    """A part of the engine that has a thread."""

    name: str
    run: Callable[[], None]
    end: Callable[[], None]
    """`run` returns soon after it."""
    daemon: bool = True
    vitals: Callable[[], Mapping[str, Any]] = dict
    """The fields of `Health` that it knows."""


class Parts(NamedTuple):
    """What the engine starts, stops and asks."""

    components: Sequence[Component]
    """In the order in which they end."""
    threads: Threads
    connections: LoopConnections
    processes: ProcessStatements
    claimer: Claimer
    workers: WorkerPool
    running: RunningJobs
    queue: SettleQueue
    settler: Settler
    commits: Commits
    dispatcher: Dispatcher
    liveness: Liveness
    periodic: Periodic
    replacement: Replacement
    abandonment: Abandonment
    outage: Outage


class Engine:
    def __init__(self, *, process: str, process_id: int, settings: Settings, own_threads: threading.local) -> None:
        """`process`: its name, host:pid; `own_threads`: has a mark on the threads of all engines of the manager."""
        self.process = process
        self.stopping = False
        self._process_id = process_id
        self._settings = settings
        self._own_threads = own_threads
        self._has_ended = threading.Event()
        self._parts: Parts

    def assemble(self, parts: Parts) -> None:
        self._parts = parts

    # -- what the manager asks ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Raises RuntimeError where the system starts no more threads. Whatever it raises, nothing of this engine is left
        then."""
        parts = self._parts
        try:
            interpreter.ends_after(self)
            parts.threads.start_workers()
            for component in parts.components:
                parts.threads.loop(component.name, component.run, daemon=component.daemon)
            parts.workers.start()
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """It could not be started as a whole."""
        parts = self._parts
        self.ask_to_stop()
        parts.workers.stop()
        # A component that has no thread comes to its end on this one: each is ended by one before it.
        for component in parts.components:
            if not parts.threads.has_loop(component.name):
                component.run()
        self._has_ended.wait()

    def wake(self) -> None:
        """The handlers have changed."""
        self._parts.claimer.wake(full_scan=True)

    def ask_to_stop(self) -> None:
        """Returns at once, takes no lock and logs nothing: a signal handler may call it."""
        self.stopping = True
        self._parts.claimer.buffer.close()  # here, not on another thread: from now on nothing is claimed
        self._parts.periodic.ask_to_stop()

    def stop(self, timeout: float | None) -> StopReport:
        """Ask for the end, wait for it at most so many seconds, and report."""
        began = time.monotonic()
        parts = self._parts
        self.ask_to_stop()
        is_own = self.is_own_thread()
        has_ended = not is_own and self._has_ended.wait(timeout)
        still_running = parts.running.all()
        if not has_ended and not is_own:
            call_aside(lambda: log_stacks(still_running), self._settings.tuning.log_patience)
        unsettled = parts.settler.waiting()
        return StopReport(
            complete=has_ended and not unsettled,
            still_running=tuple(one.job.job(_json.decode_or_text, Status.RUNNING) for one in still_running),
            returned=parts.claimer.buffer.returned,
            unsettled=unsettled,
            untold=parts.dispatcher.waiting(),
            seconds=time.monotonic() - began,
        )

    def has_ended(self) -> bool:
        return self._has_ended.is_set()

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """At most so long; returns whether the end has come."""
        return self._has_ended.wait(seconds)

    def is_own_thread(self) -> bool:
        """Whether the engine's end would wait for the calling thread: it is one of the manager's; or it works for a handler
        that waits for it, in a context that was copied from the handler's (asyncio.to_thread)."""
        return hasattr(self._own_threads, "mark") or self._parts.running.signals.are_of_this_run()

    def leave_to_parent(self) -> None:
        """In the child of a fork, where its threads do not exist."""
        self._parts.connections.leave_to_parent()

    def health(self) -> Health:
        """From memory: cheap, and it never waits."""
        parts = self._parts
        vitals: dict[str, Any] = {}
        for component in parts.components:
            vitals |= component.vitals()
        health = Health(
            ok=True,
            running=True,
            dead_threads=tuple(parts.threads.dead()),
            restarted_threads=parts.replacement.broken(),
            answered=parts.connections.answered_before(listens=self._settings.notify),
            **vitals,
        )
        failing, seconds = parts.outage.now()
        idle = self._idle()
        if idle is None:  # while all workers are busy nothing claims, and what failed before says nothing
            failing = [loop for loop in failing if loop != "claiming"]
        return judge_health(health, self._settings, Outages(failing, seconds, parts.liveness.access), idle or Idle())

    def _idle(self) -> Idle | None:
        """None: all workers are busy."""
        parts = self._parts
        if len(parts.running) >= parts.threads.workers:
            return None
        now, freed_at, claimer = time.monotonic(), parts.running.freed_at, parts.claimer
        unclaimed = now - max(claimer.schedule.answered_at, freed_at)
        alone = now - max(claimer.alone_since, freed_at) if claimer.last_chance_is_due else 0.0
        return Idle(unclaimed, alone, unclaimed if parts.dispatcher.backpressure.engage_if_full() else 0.0)

    # -- what the parts ask ---------------------------------------------------------------------------------------------

    def held(self) -> Held:
        """In the order in which a job moves: only a job that is being taken from the buffer at this moment can be missed."""
        parts = self._parts
        buffered = {job.key() for job in parts.claimer.buffer.jobs()}
        return Held(buffered | set(parts.running.claims()) | parts.settler.claims(), *parts.queue.progress())

    def is_anything_owed(self) -> bool:
        return len(self._parts.running) > 0 or self._parts.settler.waiting() > 0

    def on_rescued(self, process: str, verdict: Verdict, settled: Settled) -> None:
        self._parts.commits.on_rescued(process, verdict, settled)

    def doubt_tables(self) -> None:
        self._parts.liveness.doubt_tables()

    # -- the end, in the order in which a job moves ---------------------------------------------------------------------

    def on_stop(self) -> None:
        """On the thread of the periodic duties: the workers may all be busy, and the buffer must not wait for them."""
        self._parts.abandonment.begin()
        self._parts.workers.stop()
        self._parts.claimer.buffer.give_back()

    def on_last_worker(self) -> None:
        parts = self._parts
        parts.settler.set_deadline()  # first: the end of the claims may have to wait for the database, too, though not as long
        parts.claimer.end()  # gives back what a claim under way brought
        parts.queue.end()
        parts.threads.end_workers()

    def on_all_told(self) -> None:
        """Everything is settled and told: end the other components. The last one abandons statements without an answer, so it
        ends after the last statement."""
        parts = self._parts
        *others, last = (one for one in parts.components if one.daemon)
        try:
            for component in others:
                component.end()
            # A process that may hold jobs leaves its row, which says whose they are. So does one whose database is away: its
            # session is gone, and the others see that.
            is_away = parts.outage.now()[1] >= self._settings.tuning.shutdown_grace / 2
            if not parts.settler.waiting() and not parts.claimer.in_doubt.exist() and not is_away:
                self._deregister()
        except Exception as error:  # whatever it is, this is the end: the loops that are told of it must not wait
            logger.warning("this process could not be deregistered: %s", error)
        finally:
            last.end()
            parts.connections.claim.close()
            parts.connections.settle.close()
            self._has_ended.set()

    def _deregister(self) -> None:
        def deregister(connection: Connection) -> None:
            self._parts.processes.deregister_process(connection, self._process_id)

        settle = self._parts.connections.settle
        try:
            settle.call(deregister)
        except InDoubt:  # it may have broken long ago, when nothing was to be settled: once more on a new one
            settle.call(deregister)


def stop_all(engines: Sequence[Engine], timeout: float | None) -> StopReport:
    """Stop the last engine of a manager, and those of earlier starts whose handlers have not returned; one report of all."""
    if not engines:
        return StopReport(complete=True)
    began = time.monotonic()
    reports = []
    for engine in engines:
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
        reports.append(engine.stop(left))
    return StopReport(
        complete=all(report.complete for report in reports),
        still_running=tuple(job for report in reports for job in report.still_running),
        returned=sum(report.returned for report in reports),
        unsettled=sum(report.unsettled for report in reports),
        untold=sum(report.untold for report in reports),
        seconds=time.monotonic() - began,
    )
