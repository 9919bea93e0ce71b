"""The thread that fires schedules. It sleeps until the next tick, looks at the table (`_schedules/firing.py`), fires what is
due, and wakes the claimer.

It keeps no connection: it borrows one of those for callers, for each statement. Where there is no schedule it sleeps and
borrows none. A scout on the scanner's thread looks whether there is one, when the engine starts and when a notification says
so. Now and then the scout also looks by itself, since a notification may be lost, and a caller may send none.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar

from steve._database.backoff import Backoff
from steve._database.connections import Connections
from steve._database.failures import Connection, DatabaseFailure, Transient
from steve._database.loop_connection import LoopConnection
from steve._database.statements.schedules import ScheduleStatements
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.periodic import Duty
from steve._model.tuning import Tuning
from steve._runtime.chance import chance
from steve._schedules.firing import Firing
from steve.errors import SteveError

LOOP = "schedules"

T = TypeVar("T")


class ScheduleBell:
    """Wakes the scheduler. From any thread."""

    def __init__(self) -> None:
        self.is_dormant = True
        """Whether the scheduler sleeps because there is no schedule."""
        self.send_scout: Callable[[], object] = lambda: None
        self._rings: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """The schedules in the table may have changed."""
        if self.is_dormant:
            self.send_scout()
        else:
            self.wake()

    def wake(self) -> None:
        """There are schedules, and they may have changed."""
        if self._rings.empty():  # one ring that nobody has heard yet is enough
            self._rings.put(None)

    def wait(self, seconds: float | None) -> None:
        """Wait until it rings, at most so many seconds."""
        with contextlib.suppress(Empty):
            self._rings.get(timeout=seconds)


class Scout:
    """Looks whether there are schedules, for a scheduler that sleeps because there was none."""

    def __init__(
        self,
        *,
        connection: LoopConnection,
        between_claims: Callable[[Callable[[LoopConnection], bool]], bool | None],
        statements: ScheduleStatements,
        bell: ScheduleBell,
        is_listening: Callable[[], bool],
        tuning: Tuning,
    ) -> None:
        """`connection`: the scanner's. `between_claims(call)` calls this with a connection that is open anyway, and returns
        None at once if there is none at this moment."""
        self._between_claims = between_claims
        self._connection = connection
        self._statements = statements
        self._bell = bell
        self._is_listening = is_listening
        self._tuning = tuning
        self._is_owed = False

    def duties(self) -> list[Duty]:
        return [
            Duty("look for schedules", self._tuning.schedule_blind, self._look_again),
            Duty("look for schedules that nobody has told of", self._tuning.schedule_check, self._look_anyway),
        ]

    def look(self) -> None:
        self._is_owed = True
        with contextlib.suppress(DatabaseFailure):  # the duty looks again
            if self._find_any(self._connection):
                self._bell.wake()
            self._is_owed = False

    def _look_again(self) -> None:
        if self._bell.is_dormant and (self._is_owed or not self._is_listening()):
            self.look()

    def _look_anyway(self) -> None:
        # Not on the scanner's connection, which would have to be opened each time.
        with contextlib.suppress(DatabaseFailure):
            if self._bell.is_dormant and self._between_claims(self._find_any):
                self._bell.wake()

    def _find_any(self, connection: LoopConnection) -> bool:
        return bool(connection.call(self._statements.look_at_schedules)[1])


class Links(NamedTuple):
    """What the scheduler asks and tells the rest of the engine."""

    is_stopping: Callable[[], bool]
    is_listening: Callable[[], bool]
    """Whether notifications come."""
    is_alone: Callable[[], bool]
    """Whether no other process runs jobs."""
    jobs_fired: Callable[[], None]
    """Jobs were created."""


class Lender:
    """Lends connections for callers until the engine ends. After that, the pool is closed, and a call would open another."""

    def __init__(self, *, connections: Connections) -> None:
        self._connections = connections
        self.is_ended = False

    def call(self, statement: Callable[[Connection], T], /) -> T:
        if self.is_ended:
            raise Transient("the engine has ended")
        return self._connections.call(statement)


class Scheduler:
    def __init__(
        self, *, firing: Firing, lender: Lender, bell: ScheduleBell, links: Links, outage: Outage, tuning: Tuning
    ) -> None:
        self._firing = firing
        self._lender = lender
        self._bell = bell
        self._links = links
        self._outage = outage
        self._tuning = tuning
        self._backoff = Backoff(tuning)
        self._pause = 0.0  # after a turn that left ticks to other processes
        self._turning = threading.Lock()  # held during a turn, so that end() can wait for it

    def end(self) -> None:
        self._lender.is_ended = True
        self._bell.wake()
        if self._turning.acquire(timeout=self._tuning.shutdown_grace):
            self._turning.release()

    def run(self) -> None:
        if self._firing.has_code():
            self._bell.is_dormant = False
        else:
            self._bell.ring()
            self._bell.wait(None)
        while not self._lender.is_ended:
            begun = time.monotonic()
            seconds = self._turn()
            self._bell.wait(None if seconds is None else max(0.0, begun + seconds - time.monotonic()))

    def _turn(self) -> float | None:
        """Returns after how many seconds, from the beginning of this turn on, the next one is due. None: not before
        `wake()`."""
        self._bell.is_dormant = False
        with self._turning:
            if self._links.is_stopping():
                return None  # until the end: other processes fire
            try:
                turn = self._firing.turn(is_wanted=lambda: not self._links.is_stopping())
            except (DatabaseFailure, SteveError) as error:
                if self._lender.is_ended:
                    return 0.0
                self._outage.failed(LOOP, error)
                return self._backoff.next() + 0.001
        self._outage.worked(LOOP)
        self._backoff.reset()
        if turn.fired:
            self._links.jobs_fired()
        if not turn.schedules:
            self._bell.is_dormant = True
            return None
        most = self._tuning.schedule_check if self._links.is_listening() else self._tuning.schedule_blind
        self._pause = (
            min(2 * self._pause or self._tuning.schedule_pause, self._tuning.schedule_pause_most) if turn.left else 0.0
        )
        if turn.left:
            most = self._pause * chance.uniform(0.5, 1.5)
        if turn.seconds is None or turn.seconds >= most:
            return most
        # Not all processes at the same moment: one that comes a little later finds that the work is done.
        spread = 0.0 if self._links.is_alone() or not turn.seconds else self._tuning.schedule_spread * chance.random()
        return turn.seconds + spread
