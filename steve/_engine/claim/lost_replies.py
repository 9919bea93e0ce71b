"""After the reply to a claim was lost: asks the database which jobs that claim took, and takes them up."""

from __future__ import annotations

import time
from collections.abc import Callable

from steve._database.failures import DatabaseFailure, InDoubt, Misconfigured, Transient
from steve._engine.claim.neighbours import NeighbourPort, Neighbours
from steve._engine.claim.port import LOOP, QuestionPort
from steve._engine.upkeep.outage import OutagePort
from steve._model.claimed import Claimed
from steve._runtime.log import logger


class LostReplies:
    """Its methods are called under the claim lock and ask only while no other claimer has its own, so that no claim under way
    is mistaken for one whose reply was lost."""

    def __init__(
        self,
        *,
        database: QuestionPort,
        take_up: Callable[[list[Claimed]], None],
        neighbours: Neighbours,
        claimer: NeighbourPort | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`claimer`: the one that asks; None: it is none of them."""
        self.in_doubt = neighbours.in_doubt
        self._database = database
        self._take_up = take_up
        self._neighbours = neighbours
        self._claimer = claimer
        self._grace = neighbours.tuning.shutdown_grace
        self._clock = clock

    def ask(self) -> int:
        """Take up the jobs that this process holds and that no reply brought. Returns how many. While another pool's claim is
        under way, the question stays due. Raises DatabaseFailure."""
        with self._neighbours.paused(self._claimer) as nobody_claims:
            return self._ask() if nobody_claims else 0

    def _ask(self) -> int:
        first, answered = self.in_doubt.begin()
        try:
            jobs = self._database.find_claimed(answered)
        except (Transient, InDoubt, Misconfigured):
            # Ask again before the next claim. After any other failure, such as a row that cannot be read, only the second
            # question follows, so that the claims go on.
            self.in_doubt.lose()
            raise
        self.in_doubt.end(first)
        self._take_up(jobs)
        if jobs:
            logger.warning("the reply to a claim was lost; the %d jobs that it took are taken up", len(jobs))
        return len(jobs)

    def ask_at_last(self, outage: OutagePort, pause: Callable[[], float]) -> None:
        """Ask for the last time, when no claim can follow. Gives up if the database stays away for `shutdown_grace`. `pause()`
        returns the seconds until the next try."""
        deadline = self._clock() + self._grace
        self.in_doubt.lose()
        while self.in_doubt.are_new():
            try:
                self.ask()
            except DatabaseFailure as error:
                outage.failed(LOOP, error)
                left = deadline - self._clock()
                if left <= 0:
                    return
                time.sleep(min(pause(), left))
            except Exception:
                logger.exception("the jobs of a claim whose reply was lost cannot be read")
