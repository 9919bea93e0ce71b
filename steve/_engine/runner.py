"""Starts and stops a manager's engines. There may be several: the engine of the last start, and engines of earlier starts that
were asked to stop and whose handlers have not returned yet.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from steve._database import migrations
from steve._database.connections import Connections
from steve._database.failures import Connection, DatabaseFailure, Misconfigured, translated
from steve._database.loop_connection import ClaimConnections, LoopConnections
from steve._database.statements import Statements
from steve._engine.health import STOPPED
from steve._engine.registry import Registry
from steve._model.pools import PoolSpec, parse_pools
from steve._model.process import ID_BITS
from steve._model.settings import Settings
from steve._runtime import fork
from steve._runtime.log import logger
from steve._runtime.weak_call import WeakCall
from steve.errors import NotRunning, SteveError, Unavailable, shown
from steve.health import Health
from steve.presence import Pool
from steve.report import StopReport
from steve.run import uninterrupted

if TYPE_CHECKING:
    from steve._engine.engine import Engine


class Runner:
    """Each method raises what the method of `JobManager` with the same name raises."""

    def __init__(self, *, settings: Settings, statements: Statements, connections: Connections, registry: Registry) -> None:
        self._settings = settings
        self._statements = statements
        self._connections = connections
        self._registry = registry
        self.on_stopped: Callable[[], object] = lambda: None
        """Called at the end of each `stop()` that has waited for the engines."""
        self._reset()
        registry.when_handlers_change(self._wake)
        registry.schedules.on_change = WeakCall(self._schedules_changed)
        fork.register(self)

    def _reset(self) -> None:
        # Lets one start run at a time, and protects the setting of _engines. stop() does not take it. The first in the order of
        # locks.
        self._starting = threading.Lock()
        # Engines of earlier starts that were asked to stop and have not ended, and then the engine of the last start.
        self.engines: tuple[Engine, ...] = ()
        self._is_asked_to_stop = False  # since the last start began
        self.stops = 0  # how often it was asked to stop, and when that was last
        self.stop_asked_at = 0.0
        self._own_threads = threading.local()

    def reset_after_fork(self) -> None:
        """In the child of a fork: go back to the state before any start. The parent's threads do not exist here, and its locks
        may be held forever."""
        engines = self.engines
        fork.leave_alone(engines)
        self._connections.reset_after_fork(started=any(not engine.wait_for_end(0) for engine in engines))
        self._registry.reset_after_fork()
        self._reset()
        for engine in engines:  # last, because it fails if there is no /dev/null or no file descriptor left
            with contextlib.suppress(OSError):
                engine.leave_to_parent()

    # -- starting -------------------------------------------------------------------------------------------------------

    def start(self, workers: object, *, migrate: bool, max_jobs: int | None = None) -> None:
        """`max_jobs`: begin so many jobs and no more."""
        specs = parse_pools(workers, self._settings.queues)
        fork.notice_fork()
        with uninterrupted(), self._starting:
            engine = self.engine()
            is_quiet = engine is not None and not engine.all_pools.live()
            if engine is None:
                self._start(specs, migrate, max_jobs)
            elif is_quiet:
                self.scale(engine, specs)
            if engine is not None and max_jobs is not None:
                engine.running.signals.limit_jobs(max_jobs)
        # Log only after the lock is released, because a log handler of the application may call this runner.
        if engine is not None and not is_quiet:
            logger.warning("start() was called while the manager runs: nothing changed; scale() changes its workers")
        else:
            logger.info("started: %d workers, schema %r", sum(spec.workers for spec in specs), self._settings.schema)

    def _start(self, specs: Sequence[PoolSpec], migrate: bool, max_jobs: int | None) -> None:
        self._is_asked_to_stop = False
        self._connections.open(len(specs))
        earlier = self.engines
        try:
            engine = self._build(specs, migrate)
            if max_jobs is not None:
                engine.running.signals.limit_jobs(max_jobs)
            engine.start()
        except BaseException:  # a signal handler may raise anything between two lines
            for one in self.engines:
                if one not in earlier and not one.wait_for_end(0):
                    one.give_up()
            raise
        # A stop may have been requested during this start. This reads the flag after the engine was added to _engines;
        # request_stop() sets the flag before it reads _engines. So at least one of the two asks the engine to stop.
        if self._is_asked_to_stop:
            engine.ask_to_stop()

    def _build(self, specs: Sequence[PoolSpec], migrate: bool) -> Engine:
        """Builds an engine without starting it, and adds it to _engines. If this fails, nothing of it is left, not even in the
        tables."""
        with fork.importing:  # not at the head of this file: a program that runs no jobs needs no engine, and starts sooner
            from steve._engine.liveness.presence import presence_at_start
            from steve._engine.upkeep.threads import Threads
            from steve._engine.wiring import build, register

        statements, settings = self._statements, self._settings
        process_id = secrets.randbits(ID_BITS)
        engine: Engine | None = None

        def undo(action: Callable[[], object]) -> None:
            if engine is None or engine not in self.engines:  # once it is there, give_up() does this
                action()

        def deregister() -> None:
            with contextlib.suppress(DatabaseFailure):  # the other processes will see that the session is gone
                loops.heartbeat.call(lambda ours: statements.processes.deregister_process(ours, process_id))

        with contextlib.ExitStack() as on_failure:
            try:
                loops = self._connections.for_loops()
                on_failure.callback(undo, loops.close)
                claims = ClaimConnections(first=loops.claim, make=self._connections.for_claims)
                on_failure.callback(undo, claims.close)
                _prepare(loops, settings, migrate)
                claims.prepare(len(specs))
                on_failure.callback(undo, deregister)
                pools = [Pool(spec.queues, spec.excluded, spec.workers, 0) for spec in specs]
                presence = presence_at_start(settings, self._registry.handlers, pools)
                process, registered = register(process_id, settings, statements, loops, presence)
                engine = build(
                    settings=settings,
                    statements=statements,
                    registry=self._registry,
                    connections=loops,
                    callers=self._connections,
                    process=process,
                    registered=registered,
                    threads=Threads(workers=0, own_threads=self._own_threads, tuning=settings.tuning),
                    specs=specs,
                    claim_connections=claims,
                )
                running = tuple(earlier for earlier in self.engines if not earlier.wait_for_end(0))
                self.engines = (*running, engine)
            except DatabaseFailure as error:
                raise self.explained(error) from error
            on_failure.pop_all()
        return engine

    def explained(self, error: DatabaseFailure) -> SteveError:
        if isinstance(error, Misconfigured):
            with contextlib.suppress(DatabaseFailure):
                return self._connections.call(lambda ours: migrations.describe_missing(ours, self._settings.schema, error))
        return Unavailable(f"the database cannot be used: {error}")

    def scale(self, engine: Engine, specs: Sequence[PoolSpec]) -> None:
        """Have these pools in this engine, which runs. Raises NotRunning if it stops."""
        try:
            if not engine.all_pools.scale(specs, lambda most: self._connections.check_size(len(specs), most)):
                raise NotRunning("the manager was asked to stop, so its workers are not changed any more")
        except DatabaseFailure as error:
            raise self.explained(error) from error

    # -- stopping -------------------------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        self._is_asked_to_stop = True
        self.stop_asked_at = time.monotonic()
        self.stops += 1
        for engine in self.engines:
            engine.ask_to_stop()

    def stop(self, timeout: float | None) -> StopReport:
        check_timeout("timeout", timeout)
        fork.notice_fork()
        self._is_asked_to_stop = True
        self.stop_asked_at = time.monotonic()
        self.stops += 1
        engines = self.engines  # keep this tuple: a start() meanwhile replaces it with another
        for engine in engines:
            engine.ask_to_stop()
        untold = self._registry.listeners.waiting_once()  # before the wait: a start() meanwhile may add others
        with uninterrupted():
            report = stop_all(engines, timeout)
        if not any(engine.is_own_thread() for engine in engines):
            self.on_stopped()
            self._registry.listeners.drop_once(*untold)
            if report.complete:  # otherwise a handler or listener that still runs may use the connections
                self._connections.close()
        return report

    def has_ended(self, seconds: float) -> bool:
        """Wait at most `seconds` for each engine. Returns whether all have ended."""
        return all(engine.wait_for_end(seconds) for engine in self.engines)

    # -- asking ---------------------------------------------------------------------------------------------------------

    def engine(self) -> Engine | None:
        """Returns the engine that runs, or None."""
        fork.notice_fork()
        return next((engine for engine in self.engines if not engine.stopping), None)

    def health(self) -> Health:
        engine = self.engine()
        return STOPPED if engine is None else engine.health()

    def _wake(self) -> None:
        with uninterrupted():
            for engine in self.engines:
                engine.wake()

    def _schedules_changed(self) -> None:
        for engine in self.engines:
            engine.schedules.wake()


def stop_all(engines: Sequence[Engine], timeout: float | None) -> StopReport:
    """Stop these engines of one manager, within `timeout` seconds for all. Returns one report of all of them."""
    if not engines:
        return StopReport(complete=True)
    began = time.monotonic()
    reports = []
    for engine in engines:
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
        reports.append(engine.stop(left))
    return StopReport(
        complete=all(report.complete for report in reports),
        still_running=tuple(job for report in reports for job in report.still_running),
        returned=sum(report.returned for report in reports),
        unsettled=sum(report.unsettled for report in reports),
        untold=sum(report.untold for report in reports),
        seconds=time.monotonic() - began,
    )


def check_timeout(name: str, seconds: object) -> None:
    """Raises TypeError or ValueError unless `seconds` is None or a time that a thread can wait."""
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name} must be a number of seconds or None, not {type(seconds).__name__}")
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise ValueError(f"{name} must be 0 or more seconds, not {shown(seconds)}")


def _prepare(loops: LoopConnections, settings: Settings, migrate: bool) -> None:
    connection = loops.claim.connection()
    with translated(connection):  # not by loops.claim.call(), which limits the time: a migration may take long
        migrations.ensure(connection, settings.schema, apply=migrate, patience=settings.tuning.migrate_patience)
    loops.settle.connection()  # opened now: a process that cannot settle must not claim
    if loops.claim.route.has_pooler:
        loops.claim.call(_try_transaction)


def _try_transaction(connection: Connection) -> None:
    """Raises DatabaseFailure if the pooler refuses transactions, as PgBouncer does with pool_mode=statement: the statements
    that the engine sends through a pooler need them."""
    with translated(connection), connection.transaction():
        connection.execute("select")
