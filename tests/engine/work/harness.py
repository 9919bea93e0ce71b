"""A worker pool on real threads, with fakes around it for the database and the engine."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from steve import Job
from steve._engine.claim.buffer import JobBuffer
from steve._engine.claim.claimer import Claimer
from steve._engine.claim.neighbours import Neighbours
from steve._engine.claim.schedule import ClaimSchedule
from steve._engine.claim.sizer import ClaimSizer
from steve._engine.events.dispatcher import Dispatcher
from steve._engine.events.event import Event
from steve._engine.records.records import Records
from steve._engine.registry import Registry
from steve._engine.settle.queue import SettleQueue
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.threads import Threads
from steve._engine.work.deadlines import own_thread
from steve._engine.work.limit import Limit, Limits
from steve._engine.work.pool import WorkerPool
from steve._engine.work.running import RunningJobs, frames_now
from steve._engine.work.setup import Setups
from steve._engine.work.turns import Turns
from steve._engine.work.worker import Worker
from steve._model.claim import ClaimReply, Demand
from steve._model.claimed import Claimed
from steve._model.outcome import Verdict
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from tests.conftest import until
from tests.engine.claim.harness import FAR, TUNING


class FakeDatabase:
    """`ClaimPort` on a list of pending jobs."""

    def __init__(self) -> None:
        self.pending: deque[Claimed] = deque()
        self.last_chance: list[Claimed] = []
        """Jobs on their last chance, which only a claim for one of them brings."""
        self.errors: list[BaseException] = []
        """What the next claims raise, the last one first."""
        self.claims = 0
        self.claims_alone = 0

    def claim(self, demand: Demand) -> ClaimReply:
        self.claims += 1
        if self.errors:
            raise self.errors.pop()
        is_due = bool(self.last_chance)
        if demand.alone:
            self.claims_alone += 1
            jobs = [self.last_chance.pop() for _ in range(min(demand.crashed, len(self.last_chance)))]
        else:
            jobs = [self.pending.popleft() for _ in range(min(demand.n, len(self.pending)))]
        return ClaimReply(jobs, None, scan_seconds=0.0, ends={}, cut_off=len(jobs) >= demand.n, last_chance=is_due)

    def serves(self, queue: str) -> bool:
        return True

    def find_claimed(self, answered: Sequence[datetime]) -> list[Claimed]:
        return []


class FakeEngine:
    """`EnginePort`."""

    def __init__(self) -> None:
        self.is_asked_to_stop = threading.Event()
        self.ends = 0

    def ask_to_stop(self) -> None:
        self.is_asked_to_stop.set()

    def on_last_worker(self) -> None:
        self.ends += 1


class CountedThreads(Threads):
    """Counts the turns. Refuses them when `is_exiting`, as an interpreter does that exits."""

    def __init__(self, *, workers: int, tuning: Tuning) -> None:
        super().__init__(workers=workers, own_threads=threading.local(), tuning=tuning)
        self.turns = 0
        self.is_exiting = False

    def submit(self, turn: Callable[[], None]) -> None:
        if self.is_exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self.turns += 1
        super().submit(turn)


class WatchedQueue(SettleQueue):
    """The settler's queue, which calls a test's functions on the thread that uses it."""

    def __init__(self, *, tuning: Tuning) -> None:
        super().__init__(tuning=tuning)
        self.on_put: Callable[[Verdict], None] = lambda verdict: None
        self.on_announce: Callable[[Event], None] = lambda event: None
        self.settled_answers: list[bool] = []

    def put(self, verdict: Verdict) -> None:
        super().put(verdict)
        self.on_put(verdict)

    def announce(self, event: Event) -> None:
        self.on_announce(event)
        super().announce(event)

    def is_settled(self) -> bool:
        self.settled_answers.append(super().is_settled())
        return self.settled_answers[-1]


class FakeStuck:
    """`StuckPort`."""

    def __init__(self) -> None:
        self.limits: list[Limit] = []

    def add(self, limit: Limit) -> None:
        self.limits.append(limit)

    def remove(self, limit: Limit) -> None:
        self.limits.remove(limit)


class PoolHarness:
    def __init__(
        self,
        workers: int,
        handler: Callable[[Job], Any],
        *,
        poll: float = FAR,
        tuning: Tuning = TUNING,
        turns: type[Turns] = Turns,
        settings: Settings = Settings(),  # noqa: B008 - frozen
    ) -> None:
        self.database = FakeDatabase()
        self.engine = FakeEngine()
        self.registry = Registry(fallback=None, handlers={"a": handler})
        self.dispatcher = Dispatcher(listeners=self.registry.listeners, on_all_told=lambda: None, tuning=tuning)
        self.queue = WatchedQueue(tuning=tuning)
        self.threads = CountedThreads(workers=workers, tuning=tuning)
        self.threads.start_workers()
        self.buffer = JobBuffer(put_verdict=self.queue.put, tuning=tuning)
        self.claimer = Claimer(
            database=self.database,
            buffer=self.buffer,
            schedule=ClaimSchedule(poll_interval=poll, tuning=tuning),
            sizer=ClaimSizer(handlers=self.registry.handlers, workers=workers, tuning=tuning),
            outage=Outage(),
            neighbours=Neighbours(tuning=tuning),
        )
        self.running = RunningJobs(workers=workers)
        self.deadlines = own_thread()
        self.turns = turns(threads=self.threads, signals=self.running.signals, engine=self.engine)
        self.stuck = FakeStuck()
        limits = Limits(handlers=self.registry.handlers, settings=settings, deadlines=self.deadlines, stuck=self.stuck)
        records = Records(capture_of=lambda name: None, tuning=tuning)
        self.worker = Worker(
            process="host:1",
            registry=self.registry,
            claimer=self.claimer,
            queue=self.queue,
            running=self.running,
            setups=Setups(registry=self.registry, limits=limits, records=records, settings=settings),
        )
        self.pool = WorkerPool(
            claimer=self.claimer,
            worker=self.worker,
            turns=self.turns,
            outcomes=self.queue,
            events=self.dispatcher.backpressure,
            tuning=tuning,
        )
        self._settled: list[Verdict] = []
        self._settling = threading.Thread(target=self._settle)

    def start(self, *jobs: Claimed) -> None:
        self.database.pending.extend(jobs)
        self.pool.start()

    def create(self, *jobs: Claimed) -> None:
        """New jobs, and the notification of them."""
        self.database.pending.extend(jobs)
        self.claimer.wake()

    def create_on_last_chance(self, job: Claimed) -> None:
        self.database.last_chance = [job]
        self.claimer.wake(full_scan=True)

    def running_ids(self) -> list[int]:
        return [one.job.uid.int for one in self.running.all()]

    # -- settling -------------------------------------------------------------------------------------------------------

    def settle(self) -> list[Verdict]:
        """From now on a settler is at work. Returns the list into which it puts the verdicts on jobs that have run; jobs that
        were given back are pending again."""
        self._settling.start()
        return self._settled

    def _settle(self) -> None:
        is_ended = False
        while not is_ended:
            verdicts, _, is_ended = self.queue.take()
            self._settled += [verdict for verdict in verdicts if not verdict.goes_back]
            self.database.pending.extend(verdict.job for verdict in verdicts if verdict.goes_back)

    # -- the end --------------------------------------------------------------------------------------------------------

    def stop(self) -> list[Verdict]:
        """Stop the pool and wait for its end. Returns the verdicts: all that the settler put into its list, or else all that
        are in the queue."""
        self.pool.stop()
        until(lambda: self.engine.ends, timeout=30)
        self.threads.end_workers()
        self.deadlines.end()
        self.queue.end()
        if self._settling.ident is not None:
            self._settling.join(30)
            return self._settled
        verdicts: list[Verdict] = []
        is_ended = False
        while not is_ended:
            group, _, is_ended = self.queue.take()
            verdicts += group
        return verdicts


def is_inside(thread: int, function: str) -> bool:
    """Whether a function of this name is being called on the thread, or one that it calls."""
    frame = frames_now().get(thread)
    while frame is not None:
        if frame.f_code.co_name == function:
            return True
        frame = frame.f_back
    return False
