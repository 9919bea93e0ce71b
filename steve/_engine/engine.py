"""An engine: everything that one `start()` of the manager sets going, until the last of it has ended.

How it is put together: `wiring.py`. How it ends: `ending.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any
from uuid import UUID

from steve._engine.claim.pauses import Pauses
from steve._engine.claim.port import LOOP
from steve._engine.ending import Ending
from steve._engine.health import Idle, Outages, judge_health
from steve._engine.liveness.reconcile import Held
from steve._engine.lull import Work, work_of
from steve._engine.parts import Parts
from steve._engine.pools.pools import Pools
from steve._engine.settle.awaited import Awaited
from steve._engine.settle.commits import Commits
from steve._engine.upkeep.scheduler import ScheduleBell
from steve._engine.upkeep.threads import call_aside
from steve._engine.work.running import AllRunning, log_stacks
from steve._model import json as _json
from steve._model.claimed import Settled
from steve._model.outcome import Verdict
from steve._model.settings import Settings
from steve._runtime.exit import interpreter
from steve.health import Health
from steve.job import Status
from steve.presence import Pool
from steve.report import StopReport


class Engine:
    def __init__(self, *, process: str, process_id: int, settings: Settings, own_threads: threading.local) -> None:
        """`process`: the name of this process, host:pid; `own_threads`: marks the threads of all engines of the manager."""
        self.process = process
        self.stopping = False
        self.has_begun = False
        """Whether start() is done: before that, nobody else may change the pools."""
        self.awaited = Awaited()
        self.pauses = Pauses()
        self.schedules = ScheduleBell()
        self.ending = Ending(process_id=process_id, shutdown_grace=settings.tuning.shutdown_grace)
        self._settings = settings
        self._own_threads = own_threads
        self._parts: Parts
        self.commits: Commits
        self.running: AllRunning
        self.all_pools: Pools
        self.work: Callable[[], Work]
        """How much there is to do."""

    def assemble(self, parts: Parts) -> None:
        self._parts = self.ending.parts = parts
        self.commits = parts.commits
        self.running = parts.running
        self.all_pools = parts.pools
        self.work = partial(work_of, parts)

    # -- what the manager asks ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Raises RuntimeError if the system starts no more threads. Whatever it raises, the engine has ended by then."""
        parts = self._parts
        try:
            interpreter.ends_after(self)
            parts.pools.open()
            for component in parts.components:
                parts.threads.loop(component.name, component.run, daemon=component.daemon)
            parts.pools.begin()
        except BaseException:
            self.give_up()
            raise
        self.has_begun = True

    def give_up(self) -> None:
        """End an engine that was started only in part, or not at all."""
        parts = self._parts
        self.ask_to_stop()
        parts.running.signals.stop()
        parts.pools.stop()
        # Run each component that got no thread to its end on this one. In this order, each one ends the next when it ends.
        for component in parts.components:
            if not parts.threads.has_loop(component.name):
                component.run()
        self.ending.has_ended.wait()

    def wake(self) -> None:
        """The handlers have changed."""
        self._parts.duties.wake(full_scan=True)

    def cancel_asked(self, uids: Collection[UUID]) -> None:
        """Somebody has asked to cancel these jobs, and this process may hold some of them. A handler that runs learns of it; a
        job in the buffer is given back, and the settlement, which reads the row, makes it `cancelled`. From any thread."""
        parts = self._parts
        parts.running.cancel(uids, parts.duties.buffered())

    def ask_to_stop(self) -> None:
        """Returns at once, takes no lock and logs nothing: a signal handler may call it."""
        self.stopping = True
        self._parts.pools.close()  # on the calling thread, so that nothing is claimed from now on
        self._parts.periodic.ask_to_stop()

    def stop(self, timeout: float | None) -> StopReport:
        """Ask the engine to stop, wait at most `timeout` seconds for its end, and report."""
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
            returned=parts.pools.returned + sum(pool.parts.claimer.buffer.returned for pool in parts.pools.all),
            unsettled=unsettled,
            untold=parts.dispatcher.waiting(),
            seconds=time.monotonic() - began,
        )

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """Wait at most `seconds` for the end. Returns whether the engine has ended."""
        return self.ending.has_ended.wait(seconds)

    def is_own_thread(self) -> bool:
        """Whether the calling thread must not wait for the engine's end, because the end waits for that thread.

        This is true of each thread of the manager's engines. It is also true of a thread that works for a handler in a copy of
        the handler's context (asyncio.to_thread), because the handler waits for that thread.
        """
        return hasattr(self._own_threads, "mark") or self._parts.running.signals.are_of_this_run()

    def leave_to_parent(self) -> None:
        """In the child of a fork, where the engine's threads do not exist: leave the connections to the parent."""
        self._parts.connections.leave_to_parent()
        for connection in self._parts.pools.connections.all():
            connection.leave_to_parent()

    def health(self) -> Health:
        """Reads only memory: it is cheap, and never waits for the database."""
        parts, pools = self._parts, self._parts.pools.all
        vitals: dict[str, Any] = {}
        for component in parts.components:
            vitals |= component.vitals()
        health = Health(
            ok=True,
            running=True,
            dead_threads=tuple(
                name for threads in (parts.threads, *(pool.parts.threads for pool in pools)) for name in threads.dead()
            ),
            restarted_threads=parts.replacement.broken(),
            answered=parts.connections.answered_before(
                claims=parts.pools.connections.answered_at(), listens=self._settings.notify
            ),
            stuck=tuple(job for pool in pools for job in pool.parts.stuck.jobs()),
            **vitals,
        )
        # While all workers of a pool are busy none claims, so an earlier failure says nothing about the present.
        busy = [(LOOP, pool.parts.outage) for pool in pools if pool.is_busy()]
        failing, seconds = parts.outage.now(without=busy)
        idle = _idle(parts)
        outages = Outages(failing, seconds, parts.liveness.access)
        return judge_health(health, self._settings, outages, idle or Idle(), sum(pool.spec.workers for pool in pools))

    def pools(self) -> list[Pool]:
        """What the pools do at present. Reads only memory. From any thread."""
        return self._parts.pools.states()

    # -- what the parts ask ---------------------------------------------------------------------------------------------

    def held(self) -> Held:
        """The claims that this process knows of. This reads the places in the order in which a job moves, so it can miss only
        two kinds of jobs: one that a worker is taking from the buffer at this moment, and those in the settler's queue."""
        parts = self._parts
        buffered = {job.key() for job in parts.duties.buffered()}
        return Held(buffered | set(parts.running.claims()) | parts.settler.claims(), *parts.queue.progress())

    def ask_what_was_lost(self) -> bool:
        """Returns whether the reply to a claim was lost lately. If so, the claimer asks now which jobs that claim took."""
        in_doubt = self._parts.pools.neighbours.in_doubt
        in_doubt.ask_now()
        return in_doubt.exist()

    def on_rescued(self, process: str, verdict: Verdict, settled: Settled) -> None:
        self._parts.commits.on_rescued(process, verdict, settled)


def _idle(parts: Parts) -> Idle | None:
    """Of the pool that has been idle for longest. Returns None while all workers are busy."""
    now, last_chance, is_full = time.monotonic(), parts.pools.neighbours.last_chance, None
    idle: Idle | None = None
    for pool in parts.pools.live():
        if pool.is_busy():
            continue
        freed_at = pool.parts.running.freed_at
        is_waiting = last_chance.is_due and last_chance.owner is not pool.parts.claimer  # for another pool
        unclaimed = 0.0 if is_waiting else now - max(pool.parts.claimer.schedule.answered_at, freed_at)
        alone = now - max(last_chance.since, freed_at) if last_chance.is_due else 0.0
        is_full = parts.dispatcher.backpressure.engage_if_full() if is_full is None else is_full
        one = Idle(unclaimed, alone, unclaimed if is_full else 0.0)
        idle = one if idle is None else Idle(*map(max, idle, one))
    return idle
