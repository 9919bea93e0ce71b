"""What the pools of an engine do together: they are woken, told of retries, and looked after by the scanner and the maintenance
thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from steve._database.failures import DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._engine.claim.full_scans import LOOP as FULL_SCAN
from steve._engine.claim.lost_replies import LostReplies
from steve._engine.claim.port import LOOP, QuestionPort
from steve._engine.pools.pools import Pools
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.periodic import Duty
from steve._model.claimed import Claimed
from steve._model.outcome import NotBegun, Verdict, judge
from steve._model.tuning import Tuning

T = TypeVar("T")


class PoolDuties:
    def __init__(
        self,
        *,
        pools: Pools,
        database: Callable[[LoopConnection], QuestionPort],
        put_verdict: Callable[[Verdict], None],
        outage: Outage,
        close_scan: Callable[[], None],
        tuning: Tuning,
    ) -> None:
        """`database(connection)`: asked about lost replies, on this connection. `put_verdict()`: as for JobBuffer.
        `close_scan()`: closes the scanner's connection."""
        self._pools = pools
        self._put_verdict = put_verdict
        self._outage = outage
        self._close_scan = close_scan
        self._tuning = tuning
        self._database = database

    # -- from any thread ------------------------------------------------------------------------------------------------

    def wake(self, *, full_scan: bool = False) -> None:
        """As `Claimer.wake`."""
        for pool in self._pools.all:
            pool.parts.claimer.wake(full_scan=full_scan)

    def expect(self, queue: str, seconds: float) -> None:
        """A job of this queue will be due in so many seconds."""
        for pool in self._pools.all:
            if pool.spec.serves(queue):
                pool.parts.claimer.schedule.expect(seconds)

    def give_back_if(self, is_to_go: Callable[[Claimed], bool]) -> None:
        """Give back the jobs in the buffers of which this is true."""
        for pool in self._pools.all:
            pool.parts.claimer.buffer.give_back_if(is_to_go)
            pool.parts.claimer.schedule.ring()  # an idle worker may have seen the buffer empty for a moment

    def stand_back_seconds(self) -> float:
        """As `Crowd.stand_back_seconds`: the pool that waits the shortest decides."""
        pools = self._pools.live()
        return min((pool.parts.claimer.schedule.crowd.stand_back_seconds() for pool in pools), default=0.0)

    def vitals(self) -> dict[str, float | None]:
        """The fields of `Health` about the claims."""
        return {"scan_seconds": max((pool.parts.claimer.watermarks.scan_seconds for pool in self._pools.live()), default=None)}

    def buffered(self) -> list[Claimed]:
        return [job for pool in self._pools.all for job in pool.parts.claimer.buffer.jobs()]

    # -- on the scanner's thread ----------------------------------------------------------------------------------------

    def scans(self) -> list[Duty]:
        return [
            Duty("look below the watermarks", self._tuning.scan_check, self._look),
            Duty("take up the jobs of lost replies", self._tuning.in_doubt_check, self.take_up_lost),
        ]

    def _look(self) -> None:
        pools = self._pools.live()
        for pool in pools:
            pool.parts.full_scans.look()
        if not pools:
            self._outage.worked(FULL_SCAN)  # there is none any more
            self._close_scan()

    def close_scan(self) -> None:
        """A pool asks nothing about its full scans for a while, because they are not slow."""
        if not any(pool.parts.claimer.watermarks.is_slow for pool in self._pools.live()):
            self._close_scan()

    def take_up_lost(self) -> None:
        pools = self._pools.live()
        if pools:
            pools[0].parts.workers.take_up_lost()
        elif self._pools.neighbours.in_doubt.is_due():
            with suppress(DatabaseFailure):  # the question stays due
                self.between_claims(self._ask)

    def _ask(self, connection: LoopConnection) -> int:
        lost_replies = LostReplies(
            database=self._database(connection), take_up=self._give_back, neighbours=self._pools.neighbours, claimer=None
        )
        return lost_replies.ask()

    def _give_back(self, jobs: list[Claimed]) -> None:
        """No pool runs these jobs, which a claim took whose reply was lost."""
        if jobs:
            self._pools.neighbours.in_doubt.answered(jobs)
            for job in jobs:
                self._put_verdict(judge(job, NotBegun(), None))

    def between_claims(self, call: Callable[[LoopConnection], T]) -> T | None:
        """Call this with a connection for claims. Returns None at once if a claim is under way there. Raises DatabaseFailure,
        and reports it."""
        pools = self._pools.live()
        try:
            if pools:
                parts = pools[0].parts
                answer = parts.claimer.between_claims(lambda: call(parts.connection))
            else:
                connection = self._pools.connections.take()
                try:
                    answer = call(connection)
                finally:
                    self._pools.connections.give_back(connection)
        except DatabaseFailure as error:
            self._outage.failed(LOOP, error)  # not as a failure of the pool: one that has no handlers makes no claim to end it
            raise
        if answer is not None:
            self._outage.worked(LOOP)
        return answer

    # -- on the maintenance thread --------------------------------------------------------------------------------------

    def upkeep(self) -> list[Duty]:
        return [Duty("give back old jobs", self._tuning.buffer_age / 4, self._give_back_old)]

    def _give_back_old(self) -> None:
        self._pools.neighbours.end_left_last_chance()
        for pool in self._pools.all:
            if pool.is_ending:  # what a claim has brought that was under way
                pool.parts.claimer.buffer.give_back()
                pool.parts.workers.leave_last_chance()
            else:
                pool.parts.claimer.buffer.give_back_old()
