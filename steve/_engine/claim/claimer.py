"""Claims jobs into the buffer. A worker that finds the buffer low makes the claim; the others go on with their jobs.

How many jobs a claim asks for: `sizer.py`. Where it looks: `watermarks.py` and `sql/claim_jobs.sql`. When it is due:
`schedule.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from steve._database.failures import DatabaseFailure, Misconfigured, Transient
from steve._engine.claim.buffer import JobBuffer
from steve._engine.claim.claim_lock import ClaimLock
from steve._engine.claim.lost_replies import LostReplies
from steve._engine.claim.neighbours import Neighbours
from steve._engine.claim.port import LOOP, ClaimPort
from steve._engine.claim.schedule import ClaimSchedule
from steve._engine.claim.sizer import ClaimSizer
from steve._engine.claim.watermarks import Watermarks
from steve._engine.upkeep.outage import OutagePort
from steve._model.claim import ClaimReply, Demand
from steve._model.claimed import Claimed
from steve._runtime.log import logger

T = TypeVar("T")


class Claimer:
    def __init__(
        self,
        *,
        database: ClaimPort,
        buffer: JobBuffer,
        schedule: ClaimSchedule,
        sizer: ClaimSizer,
        outage: OutagePort,
        neighbours: Neighbours,
    ) -> None:
        """`neighbours`: it joins them here."""
        self.buffer = buffer
        self.schedule = schedule
        self.sizer = sizer
        clock = self._clock = schedule.clock
        tuning = self._tuning = neighbours.tuning
        self.watermarks = Watermarks(tuning=tuning, clock=clock)
        self._lost_replies = LostReplies(
            database=database, take_up=self._take_up, neighbours=neighbours, claimer=self, clock=clock
        )
        self.in_doubt = neighbours.in_doubt
        self.last_chance = neighbours.last_chance
        self.neighbours = neighbours
        self._database = database
        self._outage = outage
        self._claiming = ClaimLock(clock=clock)
        self._alone_not_before = 0.0
        self._is_idle = False  # the last claim saw no due job
        neighbours.join(self)

    def wake(self, *, full_scan: bool = False) -> None:
        """There may be new jobs: claim at once. `full_scan`: they may be below the watermarks. From any thread."""
        if full_scan:
            self.watermarks.look_below()
        self.schedule.wake()

    # -- claiming -------------------------------------------------------------------------------------------------------

    def refill(self, idle: int) -> int:
        """Claim if a claim is due and no other is under way. Returns how many jobs it brought. Never waits for another thread's
        claim."""
        if not self.schedule.is_due() or not self._claiming.acquire():
            return 0  # no wake-up is lost: the thread that holds the lock checks for one in _end_claim()
        try:
            # Look at the last chance under the lock: the pool that runs such a job looks at the lock after that was set.
            return 0 if self.buffer.is_closed or self.last_chance.is_due else self._claim(idle)
        finally:
            self._end_claim()

    def wait(self, seconds: float) -> bool:
        """For the one idle worker: wait until a claim is due or the bell rings, at most so many seconds. Returns whether one of
        the two has happened."""
        # While a claim is under way, wait for its end: _end_claim() rings if another claim is due by then.
        if self.schedule.is_due() and self.buffer.is_low() and not self._claiming.is_held:
            return True
        if self.buffer:
            seconds = self._tuning.tick
        elif not self._claiming.is_held:
            seconds = min(seconds, self.schedule.seconds_to_next())
        return self.schedule.wait_for_ring(seconds) or self.schedule.is_due()

    def _end_claim(self) -> None:
        self._claiming.release()
        # Ring only after the release. The idle worker does not ask the schedule while it sees the lock taken, so it must be
        # woken if a claim is due now, or will be due before its sleep is over.
        if self.schedule.seconds_to_next() < self._tuning.idle_wait or self.schedule.is_due():
            self.schedule.ring()

    def _claim(self, idle: int) -> int:
        schedule = self.schedule
        woken = schedule.begin()
        watermarks = self.watermarks.now()
        demand = self.sizer.demand(idle=idle, buffered=len(self.buffer), watermarks=watermarks)
        demand = demand._replace(
            # While full scans are slow, the beginning of a priority may be, too: the scanner finds the first job of each.
            lower_too=not self.watermarks.is_slow,
            fleet_lock=schedule.crowd.needs_lock(),
            # A peek is a full scan that stops early. A wake-up means a job as a rule, which a peek would only delay.
            peek=self._is_idle and not woken and watermarks is None,
        )
        if not demand.mosts and not demand.any_type:
            schedule.nothing_to_claim()
            self._outage.worked(LOOP)  # no later claim would say so
            return 0
        found = 0
        try:
            if self.in_doubt.is_due():
                found = self._lost_replies.ask()
            reply, cut_off = self._take(demand)
        except Exception as error:
            schedule.failed()
            self.watermarks.reset()  # the next connection may lead to another server, whose clock differs
            self._outage.failed(LOOP, error)
            if not isinstance(error, DatabaseFailure):
                raise
            return found
        self._outage.worked(LOOP)
        if reply.refused:
            schedule.refused(woken=woken)
            return found
        schedule.answered(woken=woken, jobs=len(reply.jobs), is_more_due=cut_off)
        self._is_idle = reply.found_nothing()
        self.buffer.expect(demand.n)
        if cut_off:
            schedule.next_in(0.0)
        else:
            # A claim above the watermarks does not show what is below them.
            below = None if demand.watermarks is None else self.watermarks.due_in()
            schedule.next_in(reply.next_due_in, below)
        return found + len(reply.jobs)

    def _take(self, demand: Demand) -> tuple[ClaimReply, bool]:
        """Put what a claim brings into the buffer. Returns the reply, and whether a limit ended the claim, rather than the lack
        of due jobs."""
        try:
            reply = self._database.claim(demand)
            crashed = sum(job.crashes > 0 for job in reply.jobs)
            cut_off = bool(reply.jobs) and (reply.cut_off or bool(reply.left_over) or crashed >= demand.crashed > 0)
            self.watermarks.claimed(reply, full_scan=demand.watermarks is None, cut_off=cut_off)
            self._put_into_buffer(reply.jobs)
            if reply.last_chance and self._clock() >= self._alone_not_before:
                self.last_chance.begin(self)
                self.schedule.ring()
        except (Transient, Misconfigured):
            raise  # the claim took no job
        except BaseException:  # the claim may have taken jobs: the connection broke, or the reply could not be read
            self.in_doubt.lose()
            raise
        if reply.jobs:
            logger.debug("claimed %d jobs", len(reply.jobs))
        return reply, cut_off

    def _put_into_buffer(self, jobs: list[Claimed]) -> None:
        if jobs:
            seconds_each = self.sizer.claimed(jobs)
            # Only right before the jobs are in the buffer: if something breaks the claim off earlier, it counts as one whose
            # reply was lost, and its jobs are asked for.
            self.in_doubt.answered(jobs)
            self.buffer.add(jobs, seconds_each)

    def _take_up(self, jobs: list[Claimed]) -> None:
        """These jobs came with an answer about a lost reply. It may have been the reply to another pool's claim."""
        served: list[Claimed] = []
        others: list[Claimed] = []
        for job in jobs:
            (served if self._database.serves(job.queue) else others).append(job)
        if others:
            self.in_doubt.answered(others)
            for job in others:
                self.buffer.refuse(job)
        self._put_into_buffer(served)

    # -- a job on its last chance ---------------------------------------------------------------------------------------

    def claim_alone(self, *, quiet: bool) -> Claimed | None:
        """For the one worker that runs jobs on their last chance. `quiet`: this process holds no other job. If it is quiet,
        claim such a job; if not, only look, once in a poll interval, whether one is still due. Returns the claimed job, or
        None."""
        schedule = self.schedule
        is_early = schedule.is_backing_off() if quiet else schedule.seconds_to_next() > 0.0
        if is_early or not self._claiming.acquire():
            return None
        try:
            demand = self.sizer.demand(idle=1, buffered=0, watermarks={})
            demand = demand._replace(n=0, crashed=int(quiet), alone=True)
            if self.buffer.is_closed:
                jobs, is_due = [], False
            else:
                reply, _ = self._take(demand)
                jobs, is_due = reply.jobs, reply.last_chance
                self._outage.worked(LOOP)
                schedule.answered(woken=False, jobs=0, is_more_due=False)
            next_at = schedule.next_after_poll()
            if not jobs and (quiet or not is_due):  # the job is gone, or another process has it
                self._alone_not_before = next_at
                self.neighbours.end_last_chance(self)
                self.wake(full_scan=True)
            # The job is the last one in the buffer, unless a worker took it that had not yet noticed that a job on its last
            # chance is due. That worker gives it back.
            if jobs and self.buffer.take_last(jobs[0]):
                return jobs[0]
        except DatabaseFailure as error:
            schedule.failed()
            self._outage.failed(LOOP, error)
        finally:
            self._end_claim()
        return None

    def recover(self) -> int:
        """For the scanner, because all workers may be busy with long jobs: take up the jobs of claims whose reply was lost, if
        the question is due and no claim is under way. Returns how many there were."""
        if not self.in_doubt.is_due():
            return 0
        try:
            return self.between_claims(lambda: 0 if self.buffer.is_closed else self._lost_replies.ask()) or 0
        except DatabaseFailure as error:
            self._outage.failed(LOOP, error)
            return 0

    def between_claims(self, call: Callable[[], T]) -> T | None:
        """For the scanner: call this, which uses the claim's connection. Returns None at once if a claim is under way."""
        if not self._claiming.acquire():
            return None
        try:
            return call()
        finally:
            self._end_claim()

    def end(self, *, is_last: bool = True) -> None:
        """Give back the jobs in the buffer, and those that a claim took whose reply was lost. No job gets into the buffer after
        this. `is_last`: no other claimer of the engine asks about that reply."""
        self.buffer.close()
        self._claiming.acquire_for_good()
        if is_last and self.in_doubt.exist():
            # If the database stays away, another process rescues the jobs.
            self._lost_replies.ask_at_last(self._outage, self.schedule.pause)
        self.buffer.give_back()
        self.neighbours.leave(self)

    def others_may_hold_jobs(self) -> bool:
        """Whether another pool has jobs in its buffer, or a claim under way."""
        return any(other.may_hold_jobs() for other in self.neighbours.others(self))

    # -- as the other claimers of the engine see it ---------------------------------------------------------------------

    def pause(self) -> Callable[[], None] | None:
        return self._end_claim if self._claiming.acquire() else None

    def may_hold_jobs(self) -> bool:
        # In this order: a claim puts its jobs into the buffer before it lets go of the lock.
        return self._claiming.is_held or bool(self.buffer)

    def claiming_since(self) -> float | None:
        return self._claiming.since if self._claiming.is_held else None

    def ring(self) -> None:
        self.schedule.ring()
