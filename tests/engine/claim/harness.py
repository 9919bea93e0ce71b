"""A claimer with fakes around it, for the database and the settler's queue, on a clock that a test moves."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from uuid import UUID

from steve._engine.claim.buffer import JobBuffer
from steve._engine.claim.claimer import Claimer
from steve._engine.claim.neighbours import Neighbours
from steve._engine.claim.schedule import ClaimSchedule
from steve._engine.claim.sizer import ClaimSizer
from steve._engine.upkeep.outage import Outage
from steve._engine.work.handlers import Handlers
from steve._model.claim import ClaimReply, Demand
from steve._model.claimed import Claimed
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from tests.clock import Clock

FAR = 60.0
"""Seconds between polls: longer than any test waits."""

TUNING = Tuning()


def claimed(number: int, type: str = "a", payload: str = "{}") -> Claimed:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    retry = (3, "exp", 2.0, 3600.0, 0.0)
    return Claimed(
        UUID(int=number), "default", type, 0, payload, None, 1, 0, *retry, lease_no=1,
        claimed_at=at, created_at=at, run_at=at, started_at=None,
    )  # fmt: skip


def reply(*numbers: int, due_in: float | None = None) -> ClaimReply:
    """What a claim in a healthy table brings."""
    return ClaimReply([claimed(number) for number in numbers], due_in, scan_seconds=0.0, ends={})


def raising(error: BaseException) -> Callable[[], ClaimReply]:
    """An answer of the database that is an error."""

    def fail() -> ClaimReply:
        raise error

    return fail


class FakeDatabase:
    """`ClaimPort`: answers as the test says, and remembers what it was asked. A claim that brings all that was asked for is cut
    off."""

    def __init__(self) -> None:
        self.answer: Callable[[], ClaimReply] = reply
        self.held: list[Claimed] = []
        """What `find_claimed` finds..."""
        self.errors: Iterator[Exception] = iter(())
        """... after it has raised these."""
        self.demands: list[Demand] = []
        self.questions: list[list[datetime]] = []
        self.others: set[str] = set()
        """The queues of other pools."""

    def claim(self, demand: Demand) -> ClaimReply:
        self.demands.append(demand)
        answer = self.answer()
        return answer._replace(cut_off=answer.cut_off or len(answer.jobs) >= demand.n)

    def serves(self, queue: str) -> bool:
        return queue not in self.others

    def find_claimed(self, answered: Sequence[datetime]) -> list[Claimed]:
        self.questions.append(list(answered))
        for error in self.errors:
            raise error
        return self.held


class SimulatedWaits(ClaimSchedule):
    """The idle worker moves the clock instead of waiting."""

    def __init__(self, *, poll_interval: float, tuning: Tuning, clock: Clock) -> None:
        super().__init__(poll_interval=poll_interval, tuning=tuning, clock=clock)
        self.clock = clock

    def wait_for_ring(self, seconds: float) -> bool:
        if super().wait_for_ring(0):
            return True
        self.clock.now += seconds
        return False


class RealWaits(ClaimSchedule):
    """The idle worker waits on the real clock. `is_waited_for` is set when it begins."""

    def __init__(self, *, poll_interval: float, tuning: Tuning) -> None:
        super().__init__(poll_interval=poll_interval, tuning=tuning)
        self.is_waited_for = threading.Event()

    def wait_for_ring(self, seconds: float) -> bool:
        if seconds > 0.0:
            self.is_waited_for.set()
        return super().wait_for_ring(seconds)


class Harness:
    """A claimer on a simulated clock."""

    def __init__(self, *, handler: bool = True, workers: int = 2, poll: float = FAR, tuning: Tuning = TUNING) -> None:
        self.clock = Clock()
        self._assemble(
            SimulatedWaits(poll_interval=poll, tuning=tuning, clock=self.clock), self.clock, handler, workers, tuning
        )

    def _assemble(
        self, schedule: ClaimSchedule, clock: Callable[[], float], handler: bool, workers: int, tuning: Tuning
    ) -> None:
        self.database = FakeDatabase()
        self.returned: list[Verdict] = []
        self.buffer = JobBuffer(put_verdict=self.returned.append, tuning=tuning, clock=clock)
        self.handlers = Handlers(None, {"a": print} if handler else None)
        self.sizer = ClaimSizer(handlers=self.handlers, workers=workers, tuning=tuning)
        self.outage = Outage()
        self.claimer = Claimer(
            database=self.database,
            buffer=self.buffer,
            schedule=schedule,
            sizer=self.sizer,
            outage=self.outage,
            neighbours=Neighbours(tuning=tuning, clock=clock),
        )

    def fill(self, *numbers: int) -> None:
        """Put these jobs into the buffer, by a claim."""
        self.database.answer = lambda: reply(*numbers)
        self.claimer.wake()
        assert self.claimer.refill(2) == len(numbers)
        self.database.answer = reply

    def claims(self) -> bool:
        """Whether a claim is due; then it is made."""
        before = len(self.database.demands)
        self.claimer.refill(2)
        return len(self.database.demands) > before

    def settle_down(self) -> None:
        """Make all claims that are due, and hear all rings."""
        while self.claims() or self.claimer.wait(0):
            pass

    def take_all(self) -> list[int]:
        return [job.uid.int for job in iter(self.buffer.take, None)]

    def seconds_to_next_claim(self) -> float:
        """Do what an idle worker does until it claims. Returns how long that took by the clock; FAR if it did not claim by
        then."""
        began = self.clock.now
        while (passed := self.clock.now - began) < FAR:
            if self.claims():
                return self.clock.now - began
            self.claimer.wait(FAR - passed)
        return FAR


class RealTimeHarness(Harness):
    """A claimer on the real clock, for threads that wait."""

    def __init__(self, *, poll: float = FAR) -> None:
        self.schedule = RealWaits(poll_interval=poll, tuning=TUNING)
        self._assemble(self.schedule, time.monotonic, True, 2, TUNING)

    def wait_in_thread(self) -> tuple[threading.Thread, list[bool]]:
        """A thread that has begun to wait as the idle worker, and the list into which it puts the answer."""
        answers: list[bool] = []
        self.schedule.is_waited_for.clear()
        thread = threading.Thread(target=lambda: answers.append(self.claimer.wait(FAR)), daemon=True)
        thread.start()
        assert self.schedule.is_waited_for.wait(30)
        return thread, answers


class ClaimUnderWay:
    """Inside the `with` block, another thread's claim has been sent and is not answered."""

    def __init__(self, harness: Harness, answer: ClaimReply | None = None) -> None:
        self._harness = harness
        self._answer = answer or reply()
        self._is_sent = threading.Event()
        self._may_be_answered = threading.Event()
        self._thread = threading.Thread(target=harness.claimer.refill, args=(1,))

    def _claim(self) -> ClaimReply:
        self._is_sent.set()
        assert self._may_be_answered.wait(60)
        return self._answer

    def __enter__(self) -> None:
        self._harness.database.answer = self._claim
        self._harness.claimer.wake()
        self._thread.start()
        assert self._is_sent.wait(30)
        self._harness.database.answer = reply

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._may_be_answered.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
