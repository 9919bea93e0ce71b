"""Puts one pool together: its claims, its buffer and its workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from steve._database.loop_connection import LoopConnections
from steve._database.statements.claims import ClaimStatements
from steve._engine.claim.buffer import JobBuffer
from steve._engine.claim.claimer import Claimer
from steve._engine.claim.database import DatabaseClaims, DatabaseScans
from steve._engine.claim.full_scans import FullScans
from steve._engine.claim.pauses import Pauses
from steve._engine.claim.schedule import ClaimSchedule
from steve._engine.claim.sizer import ClaimSizer
from steve._engine.pools.pool import Pool, PoolParts
from steve._engine.pools.pools import Pools
from steve._engine.registry import Registry
from steve._engine.settle.queue import SettleQueue
from steve._engine.upkeep.backpressure import Backpressure
from steve._engine.upkeep.outage import Outage, OutagePart
from steve._engine.upkeep.periodic import Duty
from steve._engine.upkeep.threads import Threads
from steve._engine.work.deadlines import Deadlines
from steve._engine.work.limit import Limits
from steve._engine.work.pool import WorkerPool
from steve._engine.work.running import AllRunning, RunningJobs
from steve._engine.work.setup import Setups
from steve._engine.work.signals import PoolSignals
from steve._engine.work.stuck import StuckHandlers
from steve._engine.work.turns import Turns
from steve._engine.work.worker import Worker
from steve._model.pools import PoolSpec
from steve._model.settings import Settings


class Shared(NamedTuple):
    """What the pools of an engine share."""

    settings: Settings
    statements: ClaimStatements
    """Those of the manager's queues."""
    connections: LoopConnections
    process: str
    process_id: int
    registry: Registry
    queue: SettleQueue
    events: Backpressure
    """The dispatcher's."""
    running: AllRunning
    pauses: Pauses
    deadlines: Deadlines
    outage: Outage
    loops: Threads
    """Those of the engine: a pool has its own."""
    processes: Callable[[], int | None]
    """About how many there are. None: that is not known yet."""
    soon: Callable[[Duty], None]
    """Has this done on a thread that may wait."""
    close_scan: Callable[[], None]
    """Closes the scanner's connection unless a pool needs it."""
    on_exit: Callable[[], None]
    """The interpreter exits."""


def make_pool(spec: PoolSpec, pools: Pools, shared: Shared) -> Pool:
    """Returns a pool that is not open yet. It takes a connection."""
    settings, registry, tuning = shared.settings, shared.registry, shared.settings.tuning
    statements = shared.statements
    if not spec.is_same(PoolSpec(1, settings.queues)):
        statements = statements.for_pool(spec.queues, spec.excluded)
    outage = OutagePart(outage=shared.outage)
    pool = Pool(spec=spec, on_last_worker=pools.end, on_exit=shared.on_exit)
    connection = pools.connections.take()
    threads = Threads(workers=spec.workers, own_threads=shared.loops.own_threads, tuning=tuning, hooks=registry.around_thread)
    claimer = Claimer(
        database=DatabaseClaims(
            statements=statements,
            connection=connection,
            process_id=shared.process_id,
            settings=settings,
            pauses=shared.pauses,
            serves=spec.serves,
        ),
        buffer=JobBuffer(put_verdict=shared.queue.put, tuning=tuning),
        schedule=ClaimSchedule(poll_interval=settings.poll_interval, tuning=tuning, processes=shared.processes),
        sizer=ClaimSizer(
            handlers=registry.handlers, workers=spec.workers, tuning=tuning, pauses=shared.pauses, serves=spec.serves
        ),
        outage=outage,
        neighbours=pools.neighbours,
    )
    running = RunningJobs(workers=spec.workers, everywhere=shared.running)
    turns = Turns(threads=threads, signals=PoolSignals(), engine=pool)
    stuck = StuckHandlers(turns=turns, running=running, claimer=claimer, listeners=registry.stuck_listeners, soon=shared.soon)
    limits = Limits(handlers=registry.handlers, settings=settings, deadlines=shared.deadlines, stuck=stuck)
    worker = Worker(
        process=shared.process,
        registry=registry,
        claimer=claimer,
        queue=shared.queue,
        running=running,
        setups=Setups(registry=registry, limits=limits, records=running.signals.records, settings=settings),
    )
    workers = WorkerPool(
        claimer=claimer, worker=worker, turns=turns, outcomes=shared.queue, events=shared.events, tuning=tuning
    )
    full_scans = FullScans(
        database=DatabaseScans(statements=statements, connection=shared.connections.scan, close=shared.close_scan),
        claimer=claimer,
        outage=outage,
        tuning=tuning,
    )
    pool.assemble(PoolParts(connection, threads, claimer, turns, running, stuck, workers, full_scans, outage))
    return pool
