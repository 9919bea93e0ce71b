"""JobManager: the front door. Each of its methods is one call of a part: the client, the runner or the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

from steve._client.client import Client
from steve._database.connections import Connections
from steve._database.statements import statements_for
from steve._engine.events.health_listeners import HealthListener
from steve._engine.events.listeners import Listener
from steve._engine.health import with_problems
from steve._engine.registry import Registry
from steve._engine.runner import Runner
from steve._engine.signal_run import SignalRun
from steve._engine.work.handlers import Handler
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from steve.errors import NotRunning
from steve.health import Health
from steve.job import Attempt, Job, NewJob, Status
from steve.report import StopReport
from steve.retry import RetryPolicy

H = TypeVar("H", bound=Handler)
W = TypeVar("W", bound=HealthListener)


class JobManager:
    """Creates jobs in PostgreSQL and, once started, runs them in threads of this process.

    `db`: a conninfo string; an open `psycopg_pool.ConnectionPool` (used, never closed); an open `psycopg.Connection` (only its
    conninfo and password are taken); None: the environment variable STEVE_DATABASE_URL, else libpq's PG* variables.
    `listen_db`: a conninfo past the pooler, if `db` leads through one: for the connections of notifications and heartbeats.
    `handler`: runs the jobs of every type that has no handler of its own; without it only types with a handler are claimed.
    `handlers`: a mapping of type to handler.
    `schema`: the PostgreSQL schema of the tables, 1 to 63 bytes of UTF-8, not beginning with `pg_`.
    `queues`: the queues to work on; None: all.
    `poll_interval`: seconds between looks at the database when no notification comes, 0.05 to 3600.
    `retry`: for jobs created without `max_attempts` and `backoff_strategy` of their own.
    `lease`: seconds without a heartbeat after which a process that is still connected loses its jobs to others, 0.3 to 86,400.
    `heartbeat`: seconds between heartbeats at most, 0.1 or more; at most a third of the lease.
    `max_crashes`: how many processes may die while they hold a job before it fails, 1 to 10,000.
    `notify`: wake waiting processes with NOTIFY when a job is created, and listen for it.
    `max_payload_bytes`, `max_result_bytes`: of a payload or a result as JSON in UTF-8, 2 to 268,435,456.
    `create_timeout`: for how many seconds a call tries to reach the database, 0.05 to 3600; `start` gives up no later.

    Constructing opens no connection and starts no thread. Everything except `start`, `run` and `create(on_done=...)` works in a
    process that never starts. All methods may be called from any thread. Raises TypeError and ValueError.
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
        _tuning: Tuning = Tuning(),  # noqa: B008 - frozen; for tests
    ) -> None:
        settings = Settings(
            schema=schema,
            queues=queues,  # type: ignore[arg-type]  # becomes a tuple
            poll_interval=poll_interval,
            retry=retry,
            lease=lease,
            heartbeat=heartbeat,
            max_crashes=max_crashes,
            notify=notify,
            max_payload_bytes=max_payload_bytes,
            max_result_bytes=max_result_bytes,
            create_timeout=create_timeout,
            tuning=_tuning,
        )
        statements = statements_for(settings)
        connections = Connections(db=db, listen_db=listen_db, settings=settings)
        self._settings = settings
        self._registry = Registry(fallback=handler, handlers=handlers)
        self._client = Client(settings=settings, statements=statements, connections=connections)
        self._runner = Runner(settings=settings, statements=statements, connections=connections, registry=self._registry)

    # -- the tables -----------------------------------------------------------------------------------------------------

    def migrate(self, *, contract: bool = False, dry_run: bool = False) -> list[str]:
        """Create or update the tables. Returns the names of the migrations applied; with `dry_run` applies none and returns
        their SQL.

        `contract`: also apply those that break older versions of steve, once no process runs one any more.
        Safe to call from many processes at once. Raises SchemaError (no right to, or the tables are newer than this code)
        and Unavailable.
        """
        return self._client.migrate(contract=contract, dry_run=dry_run)

    # -- working --------------------------------------------------------------------------------------------------------

    def start(self, workers: int = 2, *, migrate: bool = True) -> None:
        """Begin to run jobs, `workers` (1 to 1,000) at a time, in threads of this process.

        `migrate`: bring the tables up to date first, where the role may. While the manager runs, another call changes nothing
        and logs a warning. Raises SchemaError when the tables do not fit, Unavailable when the database cannot be reached: at
        the first refused connection, at the latest after `create_timeout` seconds.
        """
        self._runner.start(workers, migrate=migrate)

    def request_stop(self) -> None:
        """Ask for what `stop()` does, and return at once. It takes no lock and logs nothing, so a signal handler may call it.

        `stop()` must not be called there: it waits, and the thread that the signal interrupted may hold a lock (the logging
        module's, say) that a worker needs before it can end.
        """
        self._runner.request_stop()

    def stop(self, timeout: float | None = None) -> StopReport:
        """Claim nothing more, give back what has not begun, let running handlers finish, commit what they did, tell the
        listeners, and report.

        `timeout`: seconds to wait for that; None: as long as it takes. After it, handlers that have not returned go on in their
        threads, the log says where they are, and the report says complete=False. Safe to call twice, from many threads and
        before `start()`. On one of the manager's own threads (in a handler or a listener) it does what `request_stop()` does.
        Raises TypeError and ValueError.
        """
        return self._runner.stop(timeout)

    def run(self, workers: int = 2, *, stop_timeout: float | None = 30.0) -> StopReport:
        """Start, wait for SIGINT or SIGTERM, stop within `stop_timeout` seconds (None: however long it takes).

        After a second signal it returns at once, and the report says what still runs. A third signal ends the process, as if
        no handler were installed; other processes run those jobs again. steve installs signal handlers nowhere else. It puts
        the earlier ones back at the end (not after a second signal), and at once in a child that a handler forks. Raises what
        `start()` and `stop()` raise, and ValueError on any thread except the main one.
        """
        return SignalRun(runner=self._runner, log_patience=self._settings.tuning.log_patience).run(workers, stop_timeout)

    def health(self) -> Health:
        """Whether this manager does its work: its threads are alive, the database answers, and outcomes and heartbeats
        are written. From memory, in microseconds: for a readiness probe. Not `ok` before `start()` and after `stop()`.
        """
        return self._runner.health()

    def check_health(self) -> Health:
        """The same, and the database is asked now, within `create_timeout`: whether it can be reached, and has tables that fit.
        For a manager that is not running only that counts: its process may only create jobs. What is wrong is returned, not
        raised.
        """
        engine = self._runner.engine()  # once: a stop() in another thread is no problem of the one that was found running
        health = Health(ok=True) if engine is None else engine.health()
        flaws = self._client.find_flaws(worker=engine is not None)
        return with_problems(health, [*dict.fromkeys([*health.problems, *flaws])])

    def __enter__(self) -> JobManager:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

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
        `connection`: a psycopg Connection or Cursor: the job is stored in its transaction. Workers see it after the commit;
        after a rollback it never existed. The driver's errors come through.

        Raises InvalidJob for whatever cannot be stored, before anything is sent; SchemaError; Unavailable when the database
        could not be reached for `create_timeout` seconds (nothing was stored); OutcomeUnknown when the connection broke while
        the job was sent.
        """
        insert = self._client.check(NewJob(type, payload, max_attempts, backoff_strategy, run_at, queue, priority))
        if on_done is None:
            return self._client.create(insert, notify=notify, connection=connection)
        self._check_on_done(on_done, type, connection)
        listeners = self._registry.listeners
        listeners.add_once(insert.uid, on_done)
        try:
            return self._client.create(insert, notify=notify, connection=None)
        except BaseException:
            listeners.drop_once(insert.uid)
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

        `jobs`: ("type", payload) pairs or NewJobs. The keywords mean the same as for `create`; they apply to the jobs that do
        not say otherwise. Raises what `create` raises; InvalidJob names the place: `jobs[3]: ...`.
        """
        defaults = NewJob("default", None, max_attempts, backoff_strategy, run_at, queue, priority)
        return self._client.create_many(jobs, defaults, notify=notify, connection=connection)

    def _check_on_done(self, on_done: object, type: str, connection: object) -> None:
        if not callable(on_done):
            raise TypeError(f"on_done must be callable, not {on_done.__class__.__name__}")
        if connection is not None:
            raise TypeError("on_done and connection do not go together: if the job is rolled back, on_done is never called")
        if self._runner.engine() is None:
            raise NotRunning("on_done is called by the process that finishes the job, and this manager is not started")
        if type not in self._registry.handlers:
            raise NotRunning(
                f"on_done is called by the process that finishes the job, and this one has no handler for {type!r}"
            )

    # -- looking --------------------------------------------------------------------------------------------------------

    def find(self, job: Job | UUID | str) -> Job | None:
        """The job as it is now, or None if there is none. `job`: a Job or its uid. Raises SchemaError and Unavailable."""
        return self._client.find(job)

    def history(self, job: Job | UUID | str) -> list[Attempt]:
        """The job's attempts that have ended, first to last. Raises SchemaError and Unavailable."""
        return self._client.history(job)

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
        return self._client.fetch_all(status, type=type, queue=queue, limit=limit, before=before)

    def prune(self, *, older_than: timedelta) -> int:
        """Delete the jobs that ended at least so long ago, by the database's clock, with their attempts; returns how many.

        It goes over the table once, in small transactions. Managers and other prunes may run meanwhile. If it is interrupted,
        what was deleted stays deleted, and the rest stays. An age of less than a minute may delete jobs that another process
        still asks for. Raises TypeError, ValueError, SchemaError and Unavailable.
        """
        return self._client.prune(older_than)

    # -- handlers -------------------------------------------------------------------------------------------------------

    def handler(self, type: str) -> Callable[[H], H]:
        """Decorator: this function does the jobs of that type. Raises ValueError when the type has a handler already."""
        return self._registry.handler(type)

    def set_handler(self, type: str, handler: Handler | None) -> None:
        """Give the type this handler, in place of any other; None: take it away."""
        self._registry.set_handler(type, handler)

    def has_handler(self, type: str) -> bool:
        """Whether the type has a handler of its own."""
        return self._registry.handlers.has(type)

    def reset_handlers(self) -> None:
        """Take all handlers away, except the fallback given to the constructor."""
        self._registry.reset_handlers()

    # -- listeners ------------------------------------------------------------------------------------------------------

    def on_success(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """Call `callback(job)` after each job of that type (a list: of these; None: of all) that this process completed.

        Told on one thread, after the commit, in the order of the commits, once; not when the process dies in between.
        Returns a callable that removes the listener and is a context manager. Without `callback`: a decorator.
        """
        return self._registry.listen("success", type, callback)

    def on_failure(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """The same for jobs that ended `failed`. An error that will be retried is no failure."""
        return self._registry.listen("failure", type, callback)

    def on_done(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """The same for both."""
        return self._registry.listen("done", type, callback)

    def on_attempt(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """The same for every attempt that begins (job.status `running`) and ends (`pending`: will be retried, `completed`,
        `failed`); `callback(job, attempt)`."""
        return self._registry.listen("attempt", type, callback)

    def on_unhealthy(self, callback: W) -> W:
        """Call `callback(health)`, once, when the started manager finds that it does not do its work; see `health()`. It looks
        every second, on a thread of its own. May be used as a decorator."""
        self._registry.health_listeners.add(False, callback)
        return callback

    def on_healthy(self, callback: W) -> W:
        """The same for when it does again."""
        self._registry.health_listeners.add(True, callback)
        return callback
