"""What works between one `start()` and the end after it. How it is put together: `wiring.py`. How it ends: `ending.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from steve._engine.claim.port import LOOP
from steve._engine.ending import Ending
from steve._engine.health import Idle, Outages, judge_health
from steve._engine.liveness.reconcile import Held
from steve._engine.parts import Parts
from steve._engine.upkeep.threads import call_aside
from steve._engine.work.running import log_stacks
from steve._model import json as _json
from steve._model.claimed import Settled
from steve._model.outcome import Verdict
from steve._model.settings import Settings
from steve._runtime.exit import interpreter
from steve.health import Health
from steve.job import Status
from steve.report import StopReport


class Engine:
    def __init__(self, *, process: str, process_id: int, settings: Settings, own_threads: threading.local) -> None:
        """`process`: its name, host:pid; `own_threads`: marks the threads of all engines of the manager."""
        self.process = process
        self.stopping = False
        self.ending = Ending(process_id=process_id, shutdown_grace=settings.tuning.shutdown_grace)
        self._settings = settings
        self._own_threads = own_threads
        self._parts: Parts

    def assemble(self, parts: Parts) -> None:
        self._parts = self.ending.parts = parts

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
        # A component that has no thread runs to its end on this one. They come in the order in which one ends the next.
        for component in parts.components:
            if not parts.threads.has_loop(component.name):
                component.run()
        self.ending.has_ended.wait()

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
        has_ended = not is_own and self.ending.has_ended.wait(timeout)
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

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """At most so long; returns whether the end has come."""
        return self.ending.has_ended.wait(seconds)

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
        idle = _idle(parts)
        if idle is None:  # while all workers are busy nothing claims, and what failed before says nothing
            failing = [loop for loop in failing if loop != LOOP]
        return judge_health(health, self._settings, Outages(failing, seconds, parts.liveness.access), idle or Idle())

    # -- what the parts ask ---------------------------------------------------------------------------------------------

    def on_last_worker(self) -> None:
        self.ending.on_last_worker()

    def held(self) -> Held:
        """In the order in which a job moves: only a job that is being taken from the buffer at this moment can be missed."""
        parts = self._parts
        buffered = {job.key() for job in parts.claimer.buffer.jobs()}
        return Held(buffered | set(parts.running.claims()) | parts.settler.claims(), *parts.queue.progress())

    def ask_what_was_lost(self) -> bool:
        """If the reply to a claim was lost lately, have the claimer ask now what that claim took; returns whether it was."""
        in_doubt = self._parts.claimer.in_doubt
        in_doubt.ask_now()
        return in_doubt.exist()

    def on_rescued(self, process: str, verdict: Verdict, settled: Settled) -> None:
        self._parts.commits.on_rescued(process, verdict, settled)


def _idle(parts: Parts) -> Idle | None:
    """None: all workers are busy."""
    if len(parts.running) >= parts.threads.workers:
        return None
    now, freed_at, claimer = time.monotonic(), parts.running.freed_at, parts.claimer
    unclaimed = now - max(claimer.schedule.answered_at, freed_at)
    alone = now - max(claimer.alone_since, freed_at) if claimer.last_chance_is_due else 0.0
    return Idle(unclaimed, alone, unclaimed if parts.dispatcher.backpressure.engage_if_full() else 0.0)


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
