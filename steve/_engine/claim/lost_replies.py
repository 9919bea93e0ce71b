"""Asks what a claim took whose reply was lost, and takes those jobs up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from steve._database.failures import DatabaseFailure, InDoubt, Misconfigured, Transient
from steve._engine.claim.in_doubt import InDoubtClaims
from steve._engine.claim.port import ClaimPort
from steve._engine.upkeep.outage import Outage
from steve._model.claimed import Claimed
from steve._model.tuning import Tuning
from steve._runtime.log import logger


class LostReplies:
    """All its methods are called under the claim lock, so that no claim under way is mistaken for a lost one."""

    def __init__(
        self,
        *,
        database: ClaimPort,
        take_up: Callable[[list[Claimed]], None],
        tuning: Tuning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.in_doubt = InDoubtClaims(tuning=tuning, clock=clock)
        # Held by a full scan beside the claims, and by the question: what a scan brings must be in the buffer before anybody
        # asks.
        self.scan_lock = threading.Lock()
        self._database = database
        self._take_up = take_up
        self._grace = tuning.shutdown_grace
        self._clock = clock

    def ask(self) -> int:
        """Take up the jobs of this process that came with no reply; returns how many. Raises DatabaseFailure."""
        with self.scan_lock:
            first, answered = self.in_doubt.begin()
            try:
                jobs = self._database.find_claimed(answered)
            except (Transient, InDoubt, Misconfigured):
                self.in_doubt.lose()
                raise  # any other failure, such as a row that cannot be read, must not hold up all claims: asked again later
            self.in_doubt.end(first)
            self._take_up(jobs)
        if jobs:
            logger.warning("the reply to a claim was lost; the %d jobs that it took are in the buffer", len(jobs))
        return len(jobs)

    def ask_at_last(self, outage: Outage, pause: Callable[[], float]) -> None:
        """No claim comes after this question. Gives up while the database stays away. `pause()`: seconds to the next try."""
        deadline = self._clock() + self._grace
        self.in_doubt.lose()
        while self.in_doubt.are_new():
            try:
                self.ask()
            except DatabaseFailure as error:
                outage.failed("claiming", error)
                left = deadline - self._clock()
                if left <= 0:
                    return
                time.sleep(min(pause(), left))
            except Exception:
                logger.exception("the jobs of a claim whose reply was lost cannot be read")
