"""JobManager: the front door. It owns the connections and, between start and stop, the engine; every call of a user enters
here, is checked, and leaves as one call of a room.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any
from uuid import UUID

from . import _enqueue, _fork, _lookup, _prune, migrations
from . import _threads as threads
from ._ask import translated
from ._calls import Calls
from ._connection import Connection, caller_connection
from ._create import Creator
from ._engine import Engine, StopReport, stop_all
from ._health import STOPPED, Health, with_problems
from ._log import logger
from ._pool import Connections
from ._registers import Registers
from ._store import Store
from .errors import Misconfigured, NotRunning, SteveError, Trouble, Unavailable, shown
from .handlers import Handler
from .job import Attempt, Job, NewJob, Status
from .retry import RetryPolicy
from .settings import LOG_SECONDS, Settings, check_workers


class JobManager(Registers):
    """Creates jobs in PostgreSQL and, once started, runs them in threads of this process.

    `db`: a conninfo string; an open `psycopg_pool.ConnectionPool` (used, never closed); an open `psycopg.Connection` (only its
    conninfo and password are taken); None: the environment variable STEVE_DATABASE_URL, else libpq's PG* variables.
    `listen_db`: a conninfo for the connections that hear of new jobs and give signs of life, where `db` leads through a pooler.
    `handler`: for every type that has none of its own; without it only types with a handler are claimed.
    `handlers`: a mapping of type to handler. The other keywords: `steve/settings.py`.

    Constructing opens no connection and starts no thread. Everything but `start`, `run` and `create(on_done=...)` works in a
    process that never starts. All methods may be called from any thread.
    """

    def __init__(
        self,
        db: object = None,
        handler: Handler | None = None,
        *,
        handlers: Mapping[str, Handler] | None = None,
        schema: str = "steve",
        queues: Iterable[str] | None = None,
        poll_interval: float = 1.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        lease: float = 60.0,
        heartbeat: float = 5.0,
        max_crashes: int = 3,
        notify: bool = True,
        listen_db: str | None = None,
        max_payload_bytes: int = 1 << 20,
        max_result_bytes: int = 1 << 20,
        create_timeout: float = 10.0,
    ) -> None:
        self._settings = Settings.checked(
            schema,
            queues,
            poll_interval,
            retry,
            lease,
            heartbeat,
            max_crashes,
            notify,
            max_payload_bytes,
            max_result_bytes,
            create_timeout,
        )
        super().__init__(handler, handlers)
        self._signals_before: Mapping[signal.Signals, Any] = {}
        self._connections = Connections(db, self._settings.create_timeout, listen_db)
        self._store = Store(self._settings.schema)
        self._begin()
        _fork.register(self)

    def _begin_anew(self) -> None:
        """In the child of a fork: be as one that was never started. The parent's threads are not here; locks may be held."""
        engines = self._engines
        _fork.leave_alone(engines, self._calls, self._creator)
        self._connections.begin_anew(started=any(not engine.has_ended() for engine in engines))
        self._handlers.begin_anew()
        self._listeners.begin_anew()
        self._watch.begin_anew()
        signals, self._signals_before = self._signals_before, {}
        self._begin()
        with contextlib.suppress(ValueError):  # on another thread, where the fork was noticed late
            _restore(signals)  # run() waits for them in the parent
        for engine in engines:  # last: it may fail, where there is no /dev/null or no descriptor left
            with contextlib.suppress(OSError):
                engine.leave_to_parent()

    def _begin(self) -> None:
        self._calls = Calls(self._connections, self._store)
        self._creator = Creator(self._store, self._calls, self._connections)
        self._starting = threading.Lock()  # one start at a time; protects the setting of _engines. Not taken by stop.
        # The last start's, behind those of earlier ones that were asked to stop and have not ended.
        self._engines: tuple[Engine, ...] = ()
        self._asked_to_stop = False  # since the last start began
        self._own_threads = threading.local()

    # -- the tables -----------------------------------------------------------------------------------------------------

    def migrate(self, *, contract: bool = False, dry_run: bool = False) -> list[str]:
        """Create or update the tables. Returns the names of the migrations applied; with `dry_run` applies none and returns
        their SQL.

        `contract`: also those that older versions of steve cannot live with; only when no process runs one any more.
        Safe to call from many processes at once. Raises SchemaError (no right to, or the tables are newer than this code)
        and Unavailable.
        """

        def statement(connection: Connection) -> list[str]:
            with translated(connection):
                return migrations.migrate(connection, self._settings.schema, contract=contract, dry_run=dry_run)

        return self._calls.call(statement, answer_in=None)

    # -- working --------------------------------------------------------------------------------------------------------

    def start(self, workers: int = 2, *, migrate: bool = True) -> None:
        """Begin to run jobs, `workers` (1 to 1,000) at a time, in threads of this process.

        `migrate`: bring the tables up to date first, where the role may. Called while running it changes nothing and logs a
        warning. Raises SchemaError when the tables do not fit, Unavailable when the database cannot be reached: at the first
        refused connection, at the latest after `create_timeout` seconds.
        """
        check_workers(workers)
        _fork.notice_fork()
        with self._starting:
            runs = self._running_engine() is not None
            if not runs:
                self._start(workers, migrate)
        # Without the lock: a handler of the application's may call us.
        if runs:
            logger.warning("start() was called while the manager runs: nothing changed")
        else:
            logger.info("started: %d workers, schema %r", workers, self._settings.schema)

    def _start(self, workers: int, migrate: bool) -> None:
        self._asked_to_stop = False
        self._connections.open(self._settings.notify)
        engine = self._make_engine(workers, migrate)
        try:
            unended = tuple(earlier for earlier in self._engines if not earlier.has_ended())
            self._engines = (*unended, engine)
            engine.start()
        except BaseException:  # also what a signal raises between two lines
            if not engine.has_ended():
                engine.give_up()
            raise
        # Since this began. Looked at after the engine can be seen: who asks does the two the other way round.
        if self._asked_to_stop:
            engine.ask_to_stop()

    def request_stop(self) -> None:
        """Ask for what `stop()` does, and return at once. It takes no lock and logs nothing, so a signal handler may call it.

        `stop()` may not be called there: it waits, and the thread that the signal interrupted may hold a lock (the logging
        module's, say) that a worker needs before it can end.
        """
        self._asked_to_stop = True
        for engine in self._engines:
            engine.ask_to_stop()

    def stop(self, timeout: float | None = None) -> StopReport:
        """Claim nothing more, give back what has not begun, let running handlers finish, commit what they did, tell the
        listeners, and report.

        `timeout`: seconds to wait for that; None: as long as it takes. When it is over, handlers that have not returned go on
        in their threads, where they are is logged, and the report says complete=False. Safe to call twice, from many threads
        and before `start()`. On one of the manager's own threads (in a handler or a listener) it is `request_stop()`.
        """
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
            raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}")
        if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
            raise ValueError(f"timeout must be 0 or more seconds, not {shown(timeout)}")
        _fork.notice_fork()
        self._asked_to_stop = True
        engines = self._engines  # as they are now: start() replaces the tuple
        for engine in engines:
            engine.ask_to_stop()
        untold = self._listeners.once()  # now: a start() meanwhile may add others
        report = stop_all(engines, timeout)
        if not any(engine.is_own_thread() for engine in engines):
            self._listeners.drop_once(*untold)
            if report.complete:  # else handlers and listeners at work may still call
                self._connections.close()
        return report

    def run(self, workers: int = 2, *, stop_timeout: float | None = 30.0) -> StopReport:
        """Start, wait for SIGINT or SIGTERM, stop within `stop_timeout` seconds. Only on the main thread: ValueError elsewhere.

        A second signal hurries: it returns at once, with what still runs in the report. A third ends the process as a signal
        does that nobody handles; what ran is run again by others. The one place where steve installs signal handlers. Those
        that were there are put back at the end (not after a second signal), and in a child that a handler forks, at once.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("run() waits for signals, which Python delivers to the main thread only: call start() and stop()")
        signals = _Signals()
        before: dict[signal.Signals, Any] = {}
        hurried = False
        try:
            try:
                for number in (signal.SIGINT, signal.SIGTERM):
                    before[number] = signal.signal(number, signals)
                self._signals_before = before
                self.start(workers)
            except _Interrupted:
                pass  # it counts as a signal that came just after the start
            finally:
                signals.starting = False
            while self._running_engine() is not None:  # a handler may have asked for the end
                if (got := signals.get(0.5)) is not None:
                    self.request_stop()  # before the log, which may be a pipe that nobody reads
                    text = f"stopping: got {got.name}; once more to wait no longer"
                    threads.aside(partial(logger.info, text), LOG_SECONDS)
                    break
            self.request_stop()
            began = time.monotonic()
            while stop_timeout is None or time.monotonic() < began + stop_timeout:
                if all(engine.wait_for_end(0.1) for engine in self._engines):
                    break
                if signals.count >= 2:
                    # From now on as without us: one more ends the process.
                    hurried = True
                    for number in before:
                        signal.signal(number, signal.SIG_DFL)
                    text = "hurrying: handlers that have not returned are not waited for; a third signal ends the process"
                    threads.aside(partial(logger.warning, text), LOG_SECONDS)
                    break
            left = None if stop_timeout is None else max(0.0, began + stop_timeout - time.monotonic())
            return self.stop(0.0 if hurried else left)
        finally:
            self._signals_before = {}
            if not hurried:
                _restore(before)

    def health(self) -> Health:
        """Whether this manager does its work: its threads live, the database answers them, what was done is written down, and
        it gives signs of life. From memory, in microseconds: for a readiness probe. Not `ok` before `start()` and after
        `stop()`.
        """
        engine = self._running_engine()
        return STOPPED if engine is None else engine.health()

    def check_health(self) -> Health:
        """The same, and the database is asked now, within `create_timeout`: whether it can be reached, and has tables that fit.
        Of a manager that is not running only that counts: it may be there to create jobs. Raises nothing for what is found.
        """
        engine = self._running_engine()
        health = Health(ok=True) if engine is None else engine.health()
        try:
            self._calls.call(lambda connection: self._ensure(connection, migrate=False))
            flaws = self._calls.call(self._store.check_tables)
            flaws += self._calls.call(lambda connection: self._store.check_access(connection, worker=engine is not None))
            sequence = self._calls.call(self._store.check_sequence)
        except SteveError as error:
            flaws, sequence = [str(error)], None
        return with_problems(health, [*dict.fromkeys([*health.problems, *flaws, *([sequence] if sequence else [])])])

    def __enter__(self) -> JobManager:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _handlers_changed(self) -> None:
        for engine in self._engines:
            engine.wake()

    # -- creating -------------------------------------------------------------------------------------------------------

    def create(
        self,
        type: str,
        payload: dict[str, Any] | None = None,
        *,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        run_at: datetime | None = None,
        queue: str = "default",
        priority: int = 0,
        on_done: Callable[[Job], Any] | None = None,
        notify: bool | None = None,
        connection: object = None,
    ) -> Job:
        """Store a job; a worker of any process that has a handler for `type` runs it, from `run_at` on.

        `type`, `queue`: 1 to 255 characters. `payload`: a dict with str keys that JSON can hold, at most 100 levels
        deep and the manager's `max_payload_bytes` long.
        `max_attempts`: 1 to 10,000. `backoff_strategy`: "none", "exp" or a RetryPolicy. None for either: the manager's `retry`.
        `run_at`: an aware datetime; None or past: now. `priority`: -100 to 100, higher first.
        `on_done`: called with the job when this process has finished it, as listeners are.
        `notify`: whether to wake waiting processes; None: the manager's `notify`.
        `connection`: a psycopg Connection or Cursor: the job is stored in its transaction, is seen by workers when that
        commits and never was when that rolls back; the driver's errors come through.

        Raises InvalidJob for whatever cannot be stored, before anything is sent; SchemaError; Unavailable when the database
        could not be reached for `create_timeout` seconds (nothing was stored); OutcomeUnknown when it was lost while the job
        was sent.
        """
        new = NewJob(type, payload, max_attempts, backoff_strategy, run_at, queue, priority)
        insert = _enqueue.checked(new, self._settings)
        wake = _enqueue.notified(notify, self._settings.notify, insert)
        if on_done is not None:
            self._check_on_done(on_done, type, connection)
        theirs = None if connection is None else caller_connection(connection)
        if on_done is not None:
            self._listeners.add_once(insert.uid, on_done)
        try:
            return self._creator.create(insert, wake, theirs)
        except BaseException:
            self._listeners.drop_once(insert.uid)
            raise

    def create_many(
        self,
        jobs: Iterable[NewJob | tuple[str, dict[str, Any] | None]],
        *,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        run_at: datetime | None = None,
        queue: str = "default",
        priority: int = 0,
        notify: bool | None = None,
        connection: object = None,
    ) -> list[Job]:
        """Store many jobs at once, all or none, by COPY; returned in the order given.

        `jobs`: ("type", payload) pairs or NewJobs; the keywords are what `create` means by them, for those that leave them
        open. Raises what `create` raises; InvalidJob names the place: `jobs[3]: ...`.
        """
        defaults = NewJob("default", None, max_attempts, backoff_strategy, run_at, queue, priority)
        inserts = _enqueue.checked_many(jobs, defaults, self._settings)
        wake = _enqueue.notified(notify, self._settings.notify, *inserts)
        theirs = None if connection is None else caller_connection(connection)
        return self._creator.create_many(inserts, wake, theirs) if inserts else []

    def _check_on_done(self, on_done: object, type: str, connection: object) -> None:
        if not callable(on_done):
            raise TypeError(f"on_done must be callable, not {on_done.__class__.__name__}")
        if connection is not None:
            raise TypeError("on_done and connection do not go together: the job may be rolled back, and nobody would be told")
        if self._running_engine() is None:
            raise NotRunning("on_done is told by the process that finishes the job, and this manager is not started")
        if type not in self._handlers:
            raise NotRunning(f"on_done is told by the process that finishes the job, and this one has no handler for {type!r}")

    # -- looking --------------------------------------------------------------------------------------------------------

    def find(self, job: Job | UUID | str) -> Job | None:
        """The job as it is now, by itself or its uid; None: there is none. Raises SchemaError and Unavailable."""
        uid = _lookup.uid_of(job)
        return self._calls.call(lambda connection: self._store.find_jobs(connection, [uid]).get(uid))

    def history(self, job: Job | UUID | str) -> list[Attempt]:
        """The job's attempts that have ended, first to last. Raises SchemaError and Unavailable."""
        uid = _lookup.uid_of(job)
        return self._calls.call(lambda connection: self._store.list_attempts(connection, uid))

    def fetch_all(
        self,
        status: Status | str | None = None,
        *,
        type: str | None = None,
        queue: str | None = None,
        limit: int = 100,
        before: Job | None = None,
    ) -> list[Job]:
        """A page of at most `limit` (1 to 10,000) jobs, newest first, of a status, a type and a queue (None: of all).

        `before`: the last job of the page before. Raises TypeError, ValueError, SchemaError and Unavailable.
        """
        page = _lookup.page(status, type, queue, limit, before)
        return self._calls.call(lambda connection: self._store.list_jobs(connection, page), answer_in=None)

    def prune(self, *, older_than: timedelta) -> int:
        """Delete the jobs that ended so long ago or longer, by the database's clock, with their attempts; returns how many.

        One pass over the table in small transactions, beside running managers and other prunes: whatever interrupts it,
        what was deleted stays deleted, and the rest stays. An age of less than a minute may take what another process still
        asks for. Raises TypeError, ValueError, SchemaError and Unavailable.
        """
        age = _prune.check_age(older_than)
        return _prune.prune(lambda *batch: self._calls.call(lambda ours: self._store.prune_jobs(ours, age, *batch)))

    def _running_engine(self) -> Engine | None:
        _fork.notice_fork()
        return next((engine for engine in self._engines if not engine.stopping), None)

    def _ensure(self, connection: Connection, migrate: bool) -> None:
        with translated(connection):
            migrations.ensure(connection, self._settings.schema, apply=migrate)

    def _make_engine(self, workers: int, migrate: bool) -> Engine:
        with contextlib.ExitStack() as on_failure:
            try:
                lines = self._connections.lines(self._settings.notify)
                on_failure.callback(lines.close)
                self._ensure(lines.claim.connection(), migrate)  # for as long as it takes
                lines.settle.connection()  # nothing is claimed by a process that cannot write down what becomes of it
                if lines.claim.pooler.found:
                    lines.claim.call(_try_transaction)
                engine = Engine(
                    self._settings,
                    self._store,
                    self._handlers,
                    self._listeners,
                    workers,
                    lines,
                    self._own_threads,
                    self._watch,
                )
            except Misconfigured as error:
                met = error
                raise self._connections.call(
                    lambda ours: migrations.describe_missing(ours, self._settings.schema, met)
                ) from error
            except Trouble as error:
                raise Unavailable(f"the database cannot be used: {error}") from error
            on_failure.pop_all()
        return engine


def _try_transaction(connection: Connection) -> None:
    """A pooler may refuse them (PgBouncer's pool_mode=statement), and then no statement that is prepared could ever be sent."""
    with translated(connection), connection.transaction():
        connection.execute("select")


class _Interrupted(KeyboardInterrupt):
    """A signal has come while run() starts. psycopg ends what it waits for as it does for Ctrl-C."""


class _Signals:
    """Those that run() got. Called by the interpreter between any two lines of the main thread."""

    def __init__(self) -> None:
        self.starting = True
        """It is to break off what may wait for the database."""
        self.count = 0
        self._queue: SimpleQueue[int] = SimpleQueue()  # its put may interrupt anything

    def __call__(self, number: int, frame: object) -> None:
        self.count += 1
        self._queue.put(number)
        if self.starting:
            self.starting = False
            raise _Interrupted

    def get(self, seconds: float) -> signal.Signals | None:
        try:
            return signal.Signals(self._queue.get(timeout=seconds))
        except Empty:
            return None


def _restore(signals: Mapping[signal.Signals, Any]) -> None:
    for number, handler in signals.items():
        signal.signal(number, handler or signal.SIG_DFL)  # None: one that Python did not install and cannot put back
