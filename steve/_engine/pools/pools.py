"""The pools of an engine: which there are, how they change while the engine runs, and how they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from steve import presence
from steve._database.loop_connection import ClaimConnections
from steve._engine.claim.neighbours import Neighbours
from steve._engine.pools.pool import Pool
from steve._engine.upkeep.threads import Threads
from steve._engine.work.running import AllRunning
from steve._model.pools import PoolSpec


class Pools:
    """A pool whose queues change is ended, and another one begins: so what a pool claims never changes while it claims.

    `all` is replaced as a whole and may be read by any thread: the pools that work, and those that end, some of whose handlers
    have not returned.
    """

    def __init__(
        self,
        *,
        make: Callable[[PoolSpec], Pool],
        connections: ClaimConnections,
        neighbours: Neighbours,
        running: AllRunning,
        on_last_worker: Callable[[], None],
        on_all_ended: Callable[[], None],
    ) -> None:
        """`make(spec)`: a pool that is not open yet. The others are called when the engine stops: `on_last_worker()` when no
        handler runs any more, `on_all_ended()` when all that was claimed has its verdict."""
        self._make = make
        self.connections = connections
        self.neighbours = neighbours
        self._running = running
        self._on_last_worker = on_last_worker
        self._on_all_ended = on_all_ended
        self.on_ended: Callable[[Pool], object] = lambda pool: None
        """Called before an ended pool leaves `all`."""
        # One thread changes the pools at a time. Held while connections open and threads start; the stop does not take it.
        self._scaling = threading.Lock()
        # One pool ends at a time: the last one asks at last about lost replies. Held while its claims end.
        self._ending = threading.Lock()
        # Protects the four below; nothing is called under it.
        self._changing = threading.Lock()
        self.all: tuple[Pool, ...] = ()
        self._at_work: tuple[Pool, ...] = ()  # those with handlers that run, or with turns
        self._is_stopping = False
        self.returned = 0
        """How many jobs the pools that ended since the stop have given back since then."""
        self._leaving: tuple[Threads, ...] = ()  # of ended pools

    def live(self) -> list[Pool]:
        """Those that begin jobs."""
        return [pool for pool in self.all if not pool.is_ending]

    def states(self) -> list[presence.Pool]:
        """What they do at present. Pools that end are among them while they have handlers that run."""
        return [state for pool in self.all if not pool.is_ending or pool.state().busy for state in [pool.state()]]

    # -- beginning ------------------------------------------------------------------------------------------------------

    def add(self, specs: Sequence[PoolSpec]) -> None:
        """At the start of the engine: make these pools, which are not open yet."""
        for spec in specs:
            self._add([self._make(spec)])

    def open(self) -> None:
        """Raises DatabaseFailure, and RuntimeError if the system starts no more threads."""
        for pool in self.all:
            pool.open()

    def begin(self) -> None:
        for pool in self.all:
            pool.begin()

    # -- changing -------------------------------------------------------------------------------------------------------

    def scale(self, specs: Sequence[PoolSpec], check: Callable[[int], None] = lambda connections: None) -> bool:
        """Have these pools and no others. Handlers that run go on, and jobs that have not begun are given back. Returns False
        if the engine stops. Raises what `open` raises; then the queues are served by the same pools as before. `check` is
        called with the number of pools that have a connection while the change goes on, and may raise anything."""
        with self._scaling:
            if self._is_stopping:
                return False
            live = self.live()
            kept = [(pool, spec) for pool in live for spec in specs if pool.spec.is_same(spec)]
            others = [spec for spec in specs if not any(spec is one for _, one in kept)]
            # A pool that ends gives its connection back when its last handler has returned.
            check(sum(not pool.is_ending or bool(pool.state().busy) for pool in self.all) + len(others))
            new = self._opened(others)
            try:
                for pool, spec in kept:
                    pool.resize(spec.workers)
            except BaseException:
                for pool in new:
                    self._discard(pool)
                raise
            for pool in live:  # before the new ones begin, so that two pools never claim the same queue
                if not any(pool is one for one, _ in kept):
                    pool.stop()
            if not self._add(new):
                for pool in new:
                    self._discard(pool)
                return False
            for pool in new:
                pool.begin()
            return True

    def _opened(self, specs: Sequence[PoolSpec]) -> list[Pool]:
        new: list[Pool] = []
        try:
            for spec in specs:
                new.append(self._make(spec))
                new[-1].open()
        except BaseException:
            for pool in new:
                self._discard(pool)
            raise
        return new

    def _add(self, pools: Sequence[Pool]) -> bool:
        """Returns False if the engine stops."""
        with self._changing:
            if self._is_stopping:
                return False
            self.all = (*self.all, *pools)
            self._at_work = (*self._at_work, *pools)
            self._running.pools = tuple(pool.parts.running for pool in self.all)
            return True

    def _discard(self, pool: Pool) -> None:
        """A pool that was never added."""
        pool.end(is_last=False)
        self._leave(pool)

    # -- ending ---------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Claim nothing more. A signal handler may call this."""
        for pool in self.all:
            pool.close()

    def stop(self) -> None:
        """Begin no more jobs, and give back those that have not begun; handlers that run go on to their end."""
        with self._changing:
            is_first, self._is_stopping = not self._is_stopping, True
            pools, is_anybody_at_work = self.all, bool(self._at_work)
        for pool in pools:
            pool.stop()
        if is_first and not is_anybody_at_work:
            self._on_last_worker()
        if is_first and not pools:
            self._on_all_ended()

    def end(self, pool: Pool) -> None:
        """The last worker of this pool calls this."""
        with self._changing:
            self._at_work = tuple(other for other in self._at_work if other is not pool)
            is_last = self._is_stopping and not self._at_work
        if is_last:
            self._on_last_worker()  # first, because the next line may wait for the database
        with self._ending:
            pool.end(is_last=self._is_stopping and len(self.all) == 1)
            if not self._is_stopping:  # a stop must know whether the database is away
                pool.parts.outage.end()
            self.on_ended(pool)
            with self._changing:
                self.all = tuple(other for other in self.all if other is not pool)
                self._running.pools = tuple(other.parts.running for other in self.all)
                are_ended = self._is_stopping and not self.all
                if self._is_stopping:
                    self.returned += pool.parts.claimer.buffer.returned
            self._leave(pool)
        if are_ended:
            self._on_all_ended()

    def _leave(self, pool: Pool) -> None:
        threads = pool.parts.threads
        with self._changing:
            self._leaving = (*(one for one in self._leaving if not one.have_left_hooks()), threads)
        self.connections.give_back(pool.parts.connection)

    def wait_for_hooks(self) -> None:
        """Wait until the worker threads have left their hooks. Called when all pools have ended."""
        for threads in self._leaving:
            threads.wait_for_hooks()
