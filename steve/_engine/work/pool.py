"""What a worker does: it claims if the buffer is low, takes a job and runs it, again and again. If there is no job, it waits.

How a worker goes on from turn to turn: `turns.py`. How it runs one job: `worker.py`.
"""

from __future__ import annotations

import time
from typing import Protocol

from steve._engine.claim.claimer import Claimer
from steve._engine.upkeep.backpressure import Backpressure
from steve._engine.work.turns import Turns
from steve._engine.work.worker import Worker
from steve._model.tuning import Tuning


class OutcomesPort(Protocol):
    """The settler's queue, as the workers see it."""

    backpressure: Backpressure

    def is_settled(self) -> bool: ...


class WorkerPool:
    """Each worker is a chain of turns (`turns.py`), and each chain runs one job at a time."""

    def __init__(
        self,
        *,
        claimer: Claimer,
        worker: Worker,
        turns: Turns,
        outcomes: OutcomesPort,
        events: Backpressure,
        tuning: Tuning,
    ) -> None:
        """`events`: the dispatcher's backpressure, which holds up the claims while listeners are slow."""
        self._claimer = claimer
        self._buffer = claimer.buffer
        self._worker = worker
        self._turns = turns
        self._last_chance = claimer.last_chance
        self._running = worker.running
        self._signals = turns.signals
        self._outcomes = outcomes
        self._events = events
        self._tuning = tuning
        self._is_alone = False  # one chain claims or runs a job on its last chance

    def start(self) -> None:
        self._turns.begin(self._walk, self._look_after_parking)

    def stop(self) -> None:
        """Begin no more jobs; handlers that run go on to their end. Signal handlers must not call this: it takes locks."""
        self._buffer.close()
        self._signals.stop()
        self._claimer.wake()
        self._turns.end_if_last()

    def is_stopping(self) -> bool:
        return self._signals.is_stopping()

    def leave_last_chance(self) -> None:
        """After `stop`, perhaps more than once: this pool runs no job on its last chance any more, so another one may. If it
        runs one now, nothing happens before the outcome of that job is in the database."""
        # No such job is claimed after the buffer was closed, and a chain that claims one or runs it has set the flag before.
        if self._buffer.is_closed and not self._is_alone and self._outcomes.is_settled():
            self._claimer.neighbours.end_last_chance(self._claimer)

    # -- for the scanner ------------------------------------------------------------------------------------------------

    def look_around(self) -> None:
        """The number of workers has changed: let one of them look for jobs, which claims for the others."""
        self._claimer.wake()
        self._turns.give(1)

    def take_up_lost(self) -> None:
        """Take up the jobs of a claim whose reply was lost, while no worker claims."""
        self._rouse(self._claimer.recover())

    # -- the walk -------------------------------------------------------------------------------------------------------

    def _walk(self) -> bool:
        """Do the work of one turn. Returns whether the chain goes on with another turn; if not, it is parked."""
        until = time.monotonic() + self._tuning.turn
        generation = self._turns.generation
        while not self._signals.is_stopping():
            if self._outcomes.backpressure.engage_if_full():
                self._outcomes.backpressure.wait(self._tuning.idle_wait)
                return True
            if self._last_chance.is_due:
                return self._see_to_last_chance()
            if self._buffer.is_low() and not self._events.engage_if_full():
                self._refill()
            # If the other chains are enough for the buffer, this one takes no job, so that it does not compete with them for
            # the interpreter.
            job = None if self._buffer.is_enough_for(self._turns.at_work() - 1) else self._buffer.take()
            if job is not None:
                self._worker.work(job)
                if time.monotonic() >= until or generation != self._turns.generation:
                    return True  # after `resize`, the next turn is on another thread, or this chain is one too many
            elif not self._turns.become_idle():
                return False
            elif not self._idle() or generation != self._turns.generation:
                return True
        return True

    def _refill(self) -> None:
        if self._buffer and self._turns.has_idle():
            self._claimer.schedule.ring()  # the idle chain claims while this one goes on
        else:
            brought = self._claimer.refill(self._free_workers())
            self._rouse(min(brought, 1) if self._buffer.is_enough_for(1) else brought)

    def _idle(self) -> bool:
        """Wait for work, at most `idle_wait`. Returns whether there may be work."""
        try:
            if self._events.engage_if_full():
                self._events.wait(self._tuning.idle_wait)
                return False
            is_due = self._claimer.wait(self._tuning.idle_wait)
        finally:
            self._turns.leave_idle()
        if self._buffer.has_stalled():
            self._rouse(len(self._buffer))
            return True
        return is_due

    def _see_to_last_chance(self) -> bool:
        """A job on its last chance is due: one chain of one pool runs it alone, one chain of each other pool waits, and the
        others are parked."""
        is_idle = self._turns.become_idle()
        is_owner = self._last_chance.owner is self._claimer
        if not (is_idle and is_owner):
            self._last_chance.ring()  # wake the chain that will run the job: it waits until the others have none
        if not is_idle:
            return False
        try:
            if is_owner:
                self._is_alone = True
                self._run_alone()
            else:
                self._stand_aside()
        finally:
            self._is_alone = False
            self._turns.leave_idle()
        return True

    def _stand_aside(self) -> None:
        """Another pool has a job on its last chance."""
        self._buffer.give_back()
        self._last_chance.ring()
        self._claimer.schedule.wait_for_ring(self._tuning.idle_wait)

    def _run_alone(self) -> None:
        """Claim the job and run it as soon as this process holds no other job but those that are stuck. Until its outcome is in
        the database, begin no other job. So if the process dies, the crash is counted for this job only.
        """
        self._buffer.give_back()
        # In this order, in which a job moves: a worker puts the verdict into the queue before it removes the job from the
        # running ones.
        others = self._claimer.others_may_hold_jobs()
        is_running = others or len(self._running.everywhere) > self._running.everywhere.stuck  # a stuck one may never return
        quiet = not is_running and self._outcomes.is_settled()
        job = self._claimer.claim_alone(quiet=quiet) if quiet or is_running else None
        if job is not None:
            self._worker.work(job, alone=True)
        elif self._last_chance.is_due:
            # The bell rings when a run ends, so the wait may be long. It may not ring when a settlement or another thread's
            # claim ends.
            self._claimer.schedule.wait_for_ring(self._tuning.idle_wait if is_running else self._tuning.tick)

    # -- turns ----------------------------------------------------------------------------------------------------------

    def _free_workers(self) -> int:
        return max(0, self._turns.workers - len(self._running))

    def _rouse(self, jobs: int) -> None:
        """`jobs`: how many came into the buffer. Wake the idle chain, and give a turn to one parked chain for each job."""
        if jobs and self._turns.has_idle():
            self._claimer.schedule.ring()
        if not self._last_chance.is_due:
            self._turns.give(jobs)

    def _look_after_parking(self) -> None:
        # Before this chain was parked, a thread that brought jobs, or an idle chain that ended its wait, may have counted it as
        # one that works. So look once more whether another chain is needed.
        if self._last_chance.is_due:
            # If this chain has run that job and was closed, because it had a slot, no other would go on.
            if not self._turns.has_idle():
                self._turns.give(1)
        elif not self._buffer.is_enough_for(self._turns.at_work()) or not self._turns.has_idle():
            self._rouse(1)
