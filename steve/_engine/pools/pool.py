"""One pool of workers: what it consists of, how it changes its size, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from steve import presence
from steve._database.loop_connection import LoopConnection
from steve._engine.claim.claimer import Claimer
from steve._engine.claim.full_scans import FullScans
from steve._engine.upkeep.outage import OutagePart
from steve._engine.upkeep.threads import Threads
from steve._engine.work.pool import WorkerPool
from steve._engine.work.running import RunningJobs
from steve._engine.work.stuck import StuckHandlers
from steve._engine.work.turns import Turns
from steve._model.pools import PoolSpec


class PoolParts(NamedTuple):
    connection: LoopConnection
    """For the claims."""
    threads: Threads
    claimer: Claimer
    turns: Turns
    running: RunningJobs
    stuck: StuckHandlers
    workers: WorkerPool
    full_scans: FullScans
    outage: OutagePart


class Pool:
    """Implements `EnginePort` for its workers, and `WorkersPort`."""

    def __init__(
        self,
        *,
        spec: PoolSpec,
        on_last_worker: Callable[[Pool], None],
        on_exit: Callable[[], None],
        parts: PoolParts | None = None,
    ) -> None:
        """`on_last_worker()`: no job begins any more, and no handler runs. `on_exit()`: the interpreter exits."""
        self.spec = spec
        self.is_ending = False
        """It begins no more jobs."""
        self._on_last_worker = on_last_worker
        self._on_exit = on_exit
        self._parts = parts

    @property
    def parts(self) -> PoolParts:
        assert self._parts is not None
        return self._parts

    def assemble(self, parts: PoolParts) -> None:
        self._parts = parts

    # -- its life -------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Raises DatabaseFailure, and RuntimeError if the system starts no more threads."""
        self.parts.connection.connection()
        self.parts.threads.start_workers()

    def begin(self) -> None:
        self.parts.workers.start()

    def resize(self, workers: int) -> None:
        """Handlers that run go on. Raises RuntimeError if the system starts no more threads."""
        parts, before = self.parts, self.spec.workers
        if workers == before:
            return
        if workers > before:  # first the threads, so that no chain is without one
            parts.turns.resubmit(parts.threads.resize(workers))
        self.spec = self.spec._replace(workers=workers)
        parts.claimer.sizer.workers = workers
        parts.stuck.resize(workers)
        if workers < before:
            parts.turns.resubmit(parts.threads.resize(workers))
            parts.claimer.buffer.give_back()  # it was claimed for more workers
        parts.workers.look_around()

    def stop(self) -> None:
        """Begin no more jobs, and give back those that have not begun; handlers that run go on to their end."""
        self.is_ending = True
        self.parts.workers.stop()
        self.parts.claimer.buffer.give_back()
        self.parts.workers.leave_last_chance()

    def end(self, *, is_last: bool) -> None:
        """After `on_last_worker()`. `is_last`: as for the claimer."""
        self.parts.claimer.end(is_last=is_last)  # gives back what a claim under way brings
        self.parts.threads.end_workers()

    def close(self) -> None:
        """Claim nothing more. A signal handler may call this."""
        self.parts.claimer.buffer.close()

    # -- what its workers say -------------------------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        self._on_exit()

    def on_last_worker(self) -> None:
        self._on_last_worker(self)

    # -- what the engine asks -------------------------------------------------------------------------------------------

    def state(self) -> presence.Pool:
        return presence.Pool(
            self.spec.queues, self.spec.excluded, 0 if self.is_ending else self.spec.workers, len(self.parts.running)
        )

    def is_busy(self) -> bool:
        """Whether it makes no claim, because all workers have a job or because it ends."""
        return self.is_ending or len(self.parts.running) >= self.parts.running.workers

    def replace_dead(self) -> None:
        self.parts.turns.resubmit(self.parts.threads.replace_dead())
        self.parts.turns.replace_dead_slots()

    def broken(self) -> int:
        return self.parts.threads.restarted + self.parts.turns.broken
