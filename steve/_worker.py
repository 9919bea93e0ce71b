"""The walk: draw a job, run it, judge the outcome, hand the verdict on. And how the walks go on: as chains of turns.

A `while True` loop in a ThreadPoolExecutor would hang the interpreter at exit when the user forgets `stop()`: its exit joins
the threads before anything else runs. A chain does not: each turn walks for a short while and submits the next; at exit
`submit` raises and the chain ends. One chain without work waits for some (the watch); the others are parked, without a turn,
and are roused by whoever claims jobs for them. The last chain to end gives back the hand and closes the pile.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

from ._chance import chance
from ._claim import Claim, Hand
from ._log import logger
from ._run import Signals, run
from ._settle import Pile
from .handlers import Handler, Handlers
from .job import Claimed, Status
from .listeners import Dispatcher, Event, Listeners
from .outcome import NotBegun, Outcome, Raised, Verdict, judge
from .settings import IDLE_SECONDS, TICK_SECONDS, TURN_SECONDS


class Running(NamedTuple):
    """A job whose handler has not returned yet."""

    job: Claimed
    thread: int
    """threading.get_ident() of the thread that runs it."""


class Ended(NamedTuple):
    """A run that is over."""

    verdict: Verdict
    outcome: Outcome
    seconds: float


class Crew:
    """The workers of one manager: so many chains, at most that many jobs at a time."""

    def __init__(
        self,
        workers: int,
        process: str,
        submit: Callable[[Callable[[], None]], object],
        hand: Hand,
        pile: Pile,
        handlers: Handlers,
        listeners: Listeners,
        dispatcher: Dispatcher,
        ask_to_stop: Callable[[], None],
        on_end: Callable[[], None],
        max_result_bytes: int,
    ) -> None:
        self._workers = workers
        self._process = process
        self._submit_turn = submit
        self._hand = hand
        self._pile = pile
        self._handlers = handlers
        self._listeners = listeners
        self._dispatcher = dispatcher
        self._ask_to_stop = ask_to_stop
        self._on_end = on_end
        self._max_result_bytes = max_result_bytes
        self.signals = Signals()
        # By id() of the claimed job: a job that is due again at once may be running anew before its earlier run has left here,
        # and an id and its lease_no may be given out again, by a truncate say, while the earlier job of them runs.
        self.running: dict[int, Running] = {}
        # Protects _active (how many chains have a turn, submitted or under way), _ended and broken. Held to count, not to call.
        self._counting = threading.Lock()
        self._active = 0
        self._ended = False
        self.broken = 0
        """Turns that something broke off."""
        self.freed_at = 0.0
        """time.monotonic() when a worker was last free after all had been busy."""
        # Held by the one chain that waits for work.
        self._watch = threading.Lock()

    def start(self) -> None:
        self._rouse(1)

    def stop(self) -> None:
        """Begin nothing more; running handlers go on to their end. Not from a signal handler: it takes locks."""
        self._hand.close()
        self.signals.stop()
        self._hand.wake()
        self._end_if_last()

    def resubmit(self, turns: int) -> None:
        """So many turns were submitted and will never come: their threads are dead."""
        for _ in range(turns):
            if not self._submit():
                self._park()

    def look_everywhere(self, claim: Claim) -> None:
        """A full scan beside the claims. Raises Trouble."""
        if self._dispatcher.brake.check():
            return
        self._rouse(self._hand.look_everywhere(claim, self._workers - len(self.running)))

    def take_up_lost(self) -> None:
        """What a claim took whose reply was lost, while no worker claims."""
        self._rouse(self._hand.recover())

    def claims(self) -> list[tuple[int, int]]:
        """(id, lease_no) of the jobs whose handlers have not returned."""
        return [(one.job.id, one.job.lease_no) for one in list(self.running.values())]

    def lose(self, lost: set[tuple[int, int]]) -> None:
        """Others have taken these."""
        for one in list(self.running.values()):
            if (one.job.id, one.job.lease_no) in lost:
                logger.warning(
                    "job %s was taken from this process while attempt %d runs: its outcome will be dropped",
                    one.job.uid, one.job.attempts,
                    extra=one.job.log_extra(),
                )  # fmt: skip
        self.signals.lose(lost, self.claims())

    # -- the walk -------------------------------------------------------------------------------------------------------

    def _walk(self) -> bool:
        """One turn's work. Returns whether the chain goes on with another turn; if not, it is parked."""
        until = time.monotonic() + TURN_SECONDS
        while not self.signals.is_stopping():
            if self._pile.brake.check():
                self._pile.brake.wait(IDLE_SECONDS)
                return True
            if self._hand.last_chance:
                if not self._watch.acquire(blocking=False):
                    self._hand.ring()  # who sees to it waits for this one to end
                    return False
                try:
                    self._go_alone()
                finally:
                    self._watch.release()
                return True
            if self._hand.is_low() and not self._dispatcher.brake.check():
                if len(self._hand) > 0 and self._watch.locked():
                    self._hand.ring()  # the watch claims while this chain goes on
                else:
                    brought = self._hand.refill(self._workers - len(self.running))
                    self._rouse(min(brought, 1) if self._hand.has_enough(1) else brought)
            # Where the others suffice, this chain keeps the watch rather than take the interpreter from them.
            job = None if self._hand.has_enough(self._drawing() - 1) else self._hand.draw()
            if job is not None:
                self._work(job)
                if time.monotonic() >= until:
                    return True
            elif not self._watch.acquire(blocking=False):
                return False
            elif not self._keep_watch():
                return True
        return True

    def _keep_watch(self) -> bool:
        """Wait for something to do, at most IDLE_SECONDS; whether there may be something."""
        try:
            if self._dispatcher.brake.check():
                self._dispatcher.brake.wait(IDLE_SECONDS)
                return False
            due = self._hand.wait(IDLE_SECONDS)
        finally:
            self._watch.release()
        if self._hand.check_stall():
            self._rouse(len(self._hand))
            return True
        return due

    def _go_alone(self) -> None:
        """A job on its last chance is due: begin nothing, and when this process holds no other any more, claim it and run it.
        If it kills this process too, then it was the job that did, and no neighbour pays for it. Nor it for a neighbour:
        nothing else begins before its outcome is in the database.
        """
        self._hand.give_back()
        running = bool(self.running)
        quiet = not running and self._pile.is_settled()  # in this order: a verdict is put down before the run is over
        job = self._hand.claim_alone(quiet) if quiet or running else None
        if job is not None:
            self._work(job, alone=True)
        elif self._hand.last_chance:
            # Rung by the end of a run; not by that of the settlement, nor of another's claim.
            self._hand.wait_for_ring(IDLE_SECONDS if running else TICK_SECONDS)

    def _work(self, job: Claimed, alone: bool = False) -> None:
        handler = self._handlers.get(job.type)
        if handler is None:  # unregistered since the claim
            self._pile.put(judge(job, NotBegun(), None))
            return
        self.running[id(job)] = Running(job, threading.get_ident())
        try:
            # Looked at after entering: who goes alone looks at the two the other way round, and one of us sees the other.
            ended = self._run(job, handler) if alone or not self._hand.last_chance else None
            verdict = judge(job, NotBegun(), None) if ended is None else ended.verdict
            self._pile.put(verdict)
        finally:  # whatever breaks this off: a job that is not here is looked for
            if len(self.running) >= self._workers:
                self.freed_at = time.monotonic()
            del self.running[id(job)]
        if ended is not None:
            self._hand.pace.took(job.type, ended.seconds)
            try:
                _log(*ended)  # last: a handler of the application's may take its time
            finally:
                del ended  # the traceback of its error leads to this frame: the handler's locals would live until a collection

    def _run(self, job: Claimed, handler: Handler) -> Ended:
        begun = time.monotonic()
        try:
            if self._listeners.want_begin(job.type):
                self._pile.announce(Event(job, self._process, None, None))
            begun = time.monotonic()
            outcome = run(job, handler, self.signals, self._max_result_bytes)
        except BaseException as error:  # raised into this thread from outside: the job must not be lost with it
            outcome = Raised(f"{type(error).__name__}: the run was broken off", "")
        seconds = time.monotonic() - begun
        try:
            return Ended(judge(job, outcome, begun, chance.random()), outcome, seconds)
        finally:
            del outcome  # as in _work

    # -- the chains -----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        again = True
        try:
            again = self._walk()
        except BaseException:
            with self._counting:
                self.broken += 1
            logger.exception("a worker's turn failed; the worker goes on")
        finally:
            if self.signals.is_stopping() or not (again and self._submit()):
                self._park()

    def _park(self) -> None:
        with self._counting:
            self._active -= 1
        # Looked at after leaving: who brought jobs or ended the watch before that counted this chain as one at work.
        if not self._hand.has_enough(self._drawing()) or not self._watch.locked():
            self._rouse(1)
        self._end_if_last()

    def _drawing(self) -> int:
        """How many chains draw, or run what they drew: all that have a turn but the watch."""
        return self._active - self._watch.locked()

    def _rouse(self, jobs: int) -> None:
        """There are so many jobs to draw: give a turn to one parked chain for each, and tell the one that waits."""
        if jobs and self._watch.locked():
            self._hand.ring()
        with self._counting:
            turns = 0 if self.signals.is_stopping() or self._hand.last_chance else min(jobs, self._workers - self._active)
            self._active += turns
        for submitted in range(turns):
            if not self._submit():
                with self._counting:
                    self._active -= turns - submitted
                self._end_if_last()
                return

    def _submit(self) -> bool:
        try:
            self._submit_turn(self._turn)
        except RuntimeError:  # the interpreter exits, and nobody called stop(): all threads of the executor are started
            self.signals.stop()
            self._ask_to_stop()
            return False
        return True

    def _end_if_last(self) -> None:
        with self._counting:
            if self._ended or self._active or not self.signals.is_stopping():
                return
            self._ended = True
        self._on_end()


def log_stacks(running: list[Running]) -> None:
    """Where the handlers are that have not returned."""
    frames = sys._current_frames()
    for one in running:
        frame = frames.get(one.thread)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "it has just returned\n"
        logger.warning(
            "job %s (%s) is still running, here:\n%s", one.job.uid, one.job.type, stack,
            extra=one.job.log_extra(),
        )  # fmt: skip


def _log(verdict: Verdict, outcome: Outcome, seconds: float) -> None:
    """One line for each attempt's end."""
    level = logging.INFO
    if verdict.error is not None:
        level = logging.ERROR if verdict.status is Status.FAILED else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    job = verdict.job
    text = "job %s (%s) attempt %d of %d %s after %.3f s"
    values: list[object] = [job.uid, job.type, job.attempts - job.crashes, job.max_attempts, _what(verdict), seconds]
    error = outcome.error if isinstance(outcome, Raised) else None
    if verdict.error is not None and error is None:  # not to be printed as it is: as it is stored, bounded
        text += "\n%s"
        values.append(verdict.details or verdict.error)
    logger.log(level, text, *values, exc_info=error, extra=job.log_extra())


def _what(verdict: Verdict) -> str:
    if verdict.status is not Status.PENDING:
        return str(verdict.status)
    return f"{'snoozed' if verdict.error is None else 'failed, to be tried again'} (in {verdict.delay:.1f} s)"
