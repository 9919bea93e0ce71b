"""JobManager: the front door. Nearly every method is one call of one of its parts: the client, the runner or the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload
from uuid import UUID

from steve._client.audit import Audit
from steve._client.bulk import Bulk, Filters, Options
from steve._client.calls import Calls
from steve._client.client import Client
from steve._client.control import Control
from steve._client.fleet import Fleet
from steve._client.logs import Logs
from steve._client.lookup import Listed
from steve._client.pauses import Pausing
from steve._client.schedules import Schedules, When
from steve._client.stats import StatsReader
from steve._cron import Cron
from steve._database.caller import bound
from steve._database.connections import Connections
from steve._database.statements import statements_for
from steve._engine.events.health_listeners import HealthListener
from steve._engine.events.latency_listeners import LatencyListener
from steve._engine.events.listeners import Listener
from steve._engine.events.stuck_listeners import StuckListener
from steve._engine.for_callers import ForCallers
from steve._engine.health import with_problems
from steve._engine.registry import Registry
from steve._engine.runner import Runner
from steve._engine.scaling import Scaling
from steve._engine.work.handlers import Handler, check_handler
from steve._model.pools import Workers
from steve._model.run_limits import check_run_limits
from steve._model.settings import Settings
from steve._model.terms import HandlerTerms, RetryDelay
from steve._model.tuning import Tuning
from steve._runtime.subscription import Subscription
from steve._runtime.weak_call import WeakCall
from steve._waits.database import DatabaseWaits
from steve._waits.waits import Waits
from steve.creation import Creation
from steve.errors import NotRunning
from steve.failures import Failures
from steve.health import Health
from steve.job import Attempt, Job, LogLine, NewJob, OnConflict, Status
from steve.pause import Pause
from steve.presence import Process
from steve.report import Changed, StopReport
from steve.retry import RetryPolicy
from steve.run import Run
from steve.schedule import Overlap, Schedule
from steve.statement import ParamStyle, Statement
from steve.stats import Stats
from steve.tasks import ErrorTypes, Task, given
from steve.why import Why

if TYPE_CHECKING:
    from steve._engine.inline.inline import Inline

H = TypeVar("H", bound=Handler)
P = ParamSpec("P")
R = TypeVar("R")
W = TypeVar("W", bound=HealthListener)
F = TypeVar("F", bound=Callable[..., Any])


class JobManager:
    """Creates jobs in PostgreSQL and, once started, runs them in threads of this process.

    `db`: a conninfo string; an open `psycopg_pool.ConnectionPool` (used, never closed); an open `psycopg.Connection` (only its
    conninfo and password are taken); None: the environment variable STEVE_DATABASE_URL, else libpq's PG* variables. A function
    that returns a conninfo is called for each new connection, from any thread, for passwords that change.
    `listen_db`: if `db` leads through a pooler, a conninfo or function that does not. Notifications and heartbeats then use it.
    `handler`: the fallback, for the jobs of every type that has no handler of its own. Without it, jobs of those types are not
    claimed.
    `handlers`: a mapping of type to handler.
    `schema`: the PostgreSQL schema of the tables, 1 to 63 bytes of UTF-8, not beginning with `pg_`.
    `queues`: the queues to work on; None: all.
    `poll_interval`: how often, in seconds, an idle manager looks for jobs if no notification comes, 0.05 to 3600.
    `retry`: the policy of jobs that are created without `max_attempts` or `backoff_strategy`.
    `lease`: a connected process that sends no heartbeat for so many seconds loses its jobs to others, 0.3 to 86,400.
    `heartbeat`: the longest time between two heartbeats, in seconds, from 0.1 to a third of the lease.
    `max_crashes`: how many processes may die while they hold a job before it fails, 1 to 10,000.
    `notify`: wake waiting processes with NOTIFY when a job is created, and listen for it.
    `max_payload_bytes`, `max_result_bytes`: the largest size of a payload or a result as JSON in UTF-8, 2 to 268,435,456.
    `prune`: how long after their end jobs are deleted, by status: {"completed": timedelta(days=1)}. While a manager with this
    setting runs, one process at a time prunes, about every minute. None: nothing is deleted unless `prune()` is called.
    `timeout`: how many seconds an attempt may take, if neither `create` nor its handler says it; a timedelta will do. None: as
    long as it takes.
    `stuck_after`: a handler that has not returned so many seconds after its timeout is stuck, and another job runs in its
    place, 0.05 to 86,400.
    `capture_logs`: keep the log lines of runs of this level and above, for `logs()`: "DEBUG", "INFO", "WARNING", "ERROR",
    "CRITICAL" or a number. No logger's level is changed. None or False: none are kept. `capture_print`: keep what runs print.
    `create_timeout`: for how many seconds a call, `start` included, tries to reach the database, 0.05 to 3600.

    The constructor opens no connection and starts no thread. A manager that is never started can still create, find and prune
    jobs and migrate; only `create(on_done=...)` needs `start`. All methods but `run` may be called from any thread. Raises
    TypeError and ValueError.
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
        listen_db: str | Callable[[], str] | None = None,
        max_payload_bytes: int = 1 << 20,
        max_result_bytes: int = 1 << 20,
        prune: Mapping[Status | str, timedelta] | None = None,
        timeout: float | timedelta | None = None,
        stuck_after: float = 10.0,
        capture_logs: str | int | None = None,
        capture_print: bool = False,
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
            prune=prune,  # type: ignore[arg-type]  # becomes a tuple
            timeout=timeout,  # type: ignore[arg-type]  # becomes a float
            stuck_after=stuck_after,
            capture_logs=capture_logs,  # type: ignore[arg-type]  # becomes a number
            capture_print=capture_print,
            create_timeout=create_timeout,
            tuning=_tuning,
        )
        statements = statements_for(settings)
        connections = Connections(db=db, listen_db=listen_db, settings=settings)
        self._settings = settings
        self._connections = connections
        self._registry = Registry(fallback=handler, handlers=handlers)
        self._audit = Audit(statements.audit)
        terms_of = self._registry.handlers.terms
        self._client = Client(
            settings=settings, statements=statements, connections=connections, audit=self._audit, terms_of=terms_of
        )
        self._runner = Runner(settings=settings, statements=statements, connections=connections, registry=self._registry)
        self._scaling = Scaling(runner=self._runner, settings=settings)
        calls = Calls(connections=connections, statements=statements, settings=settings)
        self._fleet = Fleet(calls=calls, statements=statements.fleet, tuning=_tuning, find_pauses=statements.pauses.list_pauses)
        self._logs = Logs(calls=calls, statements=statements.records, tuning=_tuning)
        self._stats = StatsReader(calls=calls, statements=statements.stats, tuning=_tuning)
        told, audit = ForCallers(runner=self._runner, registry=self._registry), self._audit
        self._control = Control(calls=calls, statements=statements, notify=notify, told=told, audit=audit)
        in_code, check = self._registry.schedules, self._client.check
        self._schedules = Schedules(
            calls=calls, statements=statements, settings=settings, audit=audit, in_code=in_code, check=check
        )
        self._bulk = Bulk(calls=calls, statements=statements, settings=settings, told=told, audit=audit)
        self._pausing = Pausing(calls=calls, statements=statements, notify=notify, audit=audit)

        def make_database() -> DatabaseWaits:
            return DatabaseWaits(connections=connections, calls=calls, statements=statements, audit=audit, settings=settings)

        self._waits = Waits(
            connections=connections,
            statements=statements,
            settings=settings,
            manager=told,
            audit=audit,
            make_database=make_database,
        )
        self._runner.on_stopped = WeakCall(self._waits.end)  # not a circle: the pool is closed with the last reference to us

    # -- the tables -----------------------------------------------------------------------------------------------------

    def migrate(self, *, contract: bool = False, dry_run: bool = False) -> list[str]:
        """Create or update the tables. Returns the names of the migrations that were applied. With `dry_run` it applies none
        and returns their SQL.

        `contract`: also apply the migrations that break older versions of steve, once no process runs one any more.
        Many processes may call it at once. Raises SchemaError (the role lacks the right, or the tables are newer than this
        code) and Unavailable.
        """
        return self._client.migrate(contract=contract, dry_run=dry_run)

    # -- working --------------------------------------------------------------------------------------------------------

    def start(self, workers: Workers = 2, *, migrate: bool = True) -> None:
        """Begin to run jobs, `workers` (1 to 1,000) at a time, in threads of this process.

        `workers`: a number, or pools side by side: {"mail": 4, "reports,exports": 1, "*": 2}, or the same as text,
        "mail:4;reports,exports:1;*:2". Each pool has that many threads for its queues, at most 1,000 in all. "*" stands for
        all queues that no other pool names, "-mail" for those except mail. Each pool beyond the first takes one more
        connection.
        `migrate`: bring the tables up to date first. While the manager runs, another call changes nothing and logs a warning,
        unless the manager is quiet: then it does what `scale(workers)` does.

        Raises TypeError and ValueError for workers that cannot be. Raises SchemaError when the tables do not fit, or this role
        may not bring them up to date. Raises Unavailable when the database refuses the first connection, or does not answer
        within `create_timeout` seconds.
        """
        self._runner.start(workers, migrate=migrate)

    def scale(self, workers: Workers) -> None:
        """Change the number of workers, or the pools, while the manager runs. `workers`: as for `start`.

        Handlers that run go on to their end, and jobs that have not begun are given back. A pool whose queues stay the same
        goes on with its new number of workers. A pool whose queues are left out, or grouped otherwise, ends with its last
        handler, and the new pools begin without waiting for it. Returns when the new workers are at work. Raises NotRunning
        before `start()` and after `stop()`, TypeError, ValueError, Unavailable, and RuntimeError when the system starts no more
        threads.
        """
        self._scaling.scale(workers)

    def quiet(self) -> None:
        """Claim no more jobs, give back those that have not begun, and live on: running handlers go on to their end, and calls,
        heartbeats, listeners and schedules work as before. Deploys let old processes finish with it.

        After `scale(workers)` or `start(workers)` the manager claims again, and `stop()` stops a quiet manager as any other.
        This call returns at once, and may be repeated. Raises NotRunning before `start()` and after `stop()`.
        """
        self._scaling.quiet()

    def request_stop(self) -> None:
        """Ask for what `stop()` does, and return at once. It takes no lock and logs nothing, so a signal handler may call it.

        A signal handler must not call `stop()`. `stop()` waits for the workers, and the thread that the signal interrupted may
        hold a lock that a worker needs before it can end, for example the logging module's.
        """
        self._runner.request_stop()

    def stop(self, timeout: float | None = None) -> StopReport:
        """Claim no more jobs, give back those that have not begun, let running handlers finish, commit their outcomes, tell the
        listeners, and return a report.

        `timeout`: seconds to wait for that; None: as long as it takes. Handlers that have not returned by then go on in their
        threads, the log says where they are, and the report says complete=False. It may be called twice, from many threads and
        before `start()`. In a handler or a listener, on one of the manager's own threads, it does only what `request_stop()`
        does. Raises TypeError and ValueError.
        """
        return self._runner.stop(timeout)

    def run(
        self,
        workers: Workers = 2,
        *,
        stop_timeout: float | None = 30.0,
        max_jobs: int | None = None,
        max_memory: float | None = None,
        burst: bool = False,
        migrate: bool = True,
    ) -> StopReport:
        """Start, wait for SIGINT or SIGTERM, stop within `stop_timeout` seconds (None: however long it takes).

        `workers`, `migrate`: as for `start`. SIGTSTP does what `quiet()` does.
        `burst`: stop when all jobs that are due have ended, those included that they create. Jobs that are due later stay.
        `max_jobs`: begin that many jobs, 1 or more, and stop when they have ended. `max_memory`: stop when the process has
        that many MiB of resident memory. Both are for a supervisor that begins the program anew: the report has the `limit`
        and the `exit_code`.

        After a second signal it returns at once, and the report says which jobs still run. A third signal ends the process, as
        if no signal handler were installed, and other processes run those jobs again.

        steve installs signal handlers nowhere else. `run` puts the earlier ones back when it returns, unless a second signal
        came. A child that a job's handler forks gets them back at once. Raises what `start()` and `stop()` raise, and
        ValueError on any thread except the main one.
        """
        limits, patience = check_run_limits(max_jobs, max_memory, burst), self._settings.tuning.log_patience
        from steve._engine.signal_run import SignalRun  # here, as the engine in Runner.start(): few programs need it

        signal_run = SignalRun(runner=self._runner, scaling=self._scaling, limits=limits, log_patience=patience)
        return signal_run.run(workers, stop_timeout, migrate=migrate)

    def health(self) -> Health:
        """Whether this manager does its work: its threads are alive, the database answers, and outcomes and heartbeats are
        written.

        It reads only memory and takes microseconds, so it suits a readiness probe. It is not `ok` before `start()` and after
        `stop()`.
        """
        return self._runner.health()

    def check_health(self) -> Health:
        """Does what `health()` does, and also asks the database whether it can be reached and has tables that fit.

        Each question may take `create_timeout` seconds. If the manager is not running, only the database counts, because its
        process may be there only to create jobs. Problems are returned, not raised.
        """
        engine = self._runner.engine()  # read once: a stop() in another thread meanwhile is not a problem of this engine
        health = Health(ok=True) if engine is None else engine.health()
        flaws = self._client.find_flaws(worker=engine is not None)
        return with_problems(health, [*dict.fromkeys([*health.problems, *flaws])])

    def processes(self) -> list[Process]:
        """All started managers of the fleet, those of other machines included, in the order of their starts: what each is there
        for, what it does, and what is wrong with it. It works in any process, whether its manager is started or not.

        Each manager writes that with its heartbeats, so what a `Process` says is as old as `heartbeat_age`. A manager that was
        stopped is gone from the list; one whose process died is there for a few seconds, with `alive=False`. At most 10,000 are
        returned. Raises SchemaError and Unavailable.
        """
        return self._fleet.processes()

    def why(self, job: Job | UUID | str) -> Why:
        """What keeps the job from running now, or what became of it: `reasons`, each with a `code` for programs, a `text` and
        a `remedy`. `print(manager.why(job))` shows it all; the documentation lists the codes.

        It asks the database and what processes have said with their last heartbeats, so it may be a few seconds behind. It
        locks nothing, and a look that takes more than two seconds is left out. Raises TypeError and ValueError if `job` is
        neither a Job nor a uid, SchemaError and Unavailable.
        """
        return self._fleet.why(job)

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
        queue: str | None = None,
        priority: int | None = None,
        delay: float | timedelta | None = None,
        unique: str | None = None,
        on_conflict: OnConflict = "return",
        unique_for: float | timedelta | None = None,
        tags: Mapping[str, str | int] | None = None,
        metadata: dict[str, Any] | None = None,
        expires_at: datetime | None = None,
        expires_in: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
        on_done: Callable[[Job], Any] | None = None,
        notify: bool | None = None,
        connection: object = None,
        bind: object = None,
    ) -> Job:
        """Store a job. From `run_at` on, a worker of any process that has a handler for `type` runs it.

        `type`, `queue`: 1 to 255 characters. `payload`: a dict with str keys that JSON can hold, at most 100 levels deep and
        at most the manager's `max_payload_bytes` long.
        `max_attempts`: 1 to 10,000. None: that of the RetryPolicy in `backoff_strategy`, or else of the manager's `retry`.
        `backoff_strategy`: "none", "exp" or a RetryPolicy. None: that of the manager's `retry`.
        `run_at`: an aware datetime; None or past: now. `priority`: -100 to 100, higher first.
        None for the queue is "default", and for the priority 0. But if this manager has a handler for the type, what was said
        when that was registered stands for a None of `max_attempts`, `backoff_strategy`, `queue` and `priority`.
        `delay`: in place of `run_at`, seconds or a timedelta from now on, by the database's clock.
        `unique`: a key of 1 to 255 characters. While a job with this key has not ended, no second one is made.
        `on_conflict`: what happens then. "return": the job that is there is returned, with `duplicate=True`. "raise":
        AlreadyExists. "replace": the job that is there gets all that the new one would have had, except its uid and
        `created_at`; if it runs, it loses its key and a new job is stored.
        `unique_for`: with `unique`, seconds or a timedelta: for so long after the job is created, no other job with this key is
        made, whatever becomes of the first.
        `tags`: at most 32 names (1 to 63 characters) with a str (at most 255 characters), an int or a bool, to find jobs by.
        `metadata`: a dict that JSON can hold, at most 16 KiB, beside the payload. Names that begin with `_` are steve's.
        `expires_at`, `expires_in`: an aware datetime, or seconds or a timedelta from now on. If the first attempt has not begun
        by then, the job is cancelled.
        `timeout`: seconds or a timedelta that an attempt may take.
        `on_done`: a function that is called with the job when this process has finished it, in the same way as a listener. It
        is not called for a duplicate.
        `notify`: whether to wake waiting processes; None: the manager's `notify`.
        `connection`: a Connection or Cursor of psycopg or psycopg2, Django's connection, or a Session or Connection of
        SQLAlchemy's. The job is stored in its transaction: workers see it after the commit, and after a rollback it never
        existed. The driver's errors are raised unchanged. `bind`: for a Session with several binds, the engine to use.

        Raises InvalidJob when steve or PostgreSQL cannot store an argument; SchemaError; Unavailable when the database could
        not be reached for `create_timeout` seconds (nothing was stored); OutcomeUnknown when the connection broke while the
        job was sent; AlreadyExists. With `on_done` also NotRunning.
        """
        new = NewJob(
            type, payload, max_attempts, backoff_strategy, run_at, queue, priority,
            delay, unique, on_conflict, unique_for, tags, metadata, expires_at, expires_in, timeout,
        )  # fmt: skip
        connection = bound(connection, bind)
        if not self._client.around_create.entries.value:
            return self._create(new, on_done, notify, connection)
        return self._client.within_hooks([new], lambda news: [self._create(news[0], on_done, notify, connection)])[0]

    def _create(self, new: NewJob, on_done: Callable[[Job], Any] | None, notify: bool | None, connection: object) -> Job:
        insert = self._client.check(new)
        if on_done is None:
            return self._client.create(insert, notify=notify, connection=connection)
        self._check_on_done(on_done, new.type, connection)
        listeners = self._registry.listeners
        listeners.add_once(insert.uid, on_done)
        try:
            job = self._client.create(insert, notify=notify, connection=None)
        except BaseException:
            listeners.drop_once(insert.uid)
            raise
        if job.duplicate:
            listeners.drop_once(insert.uid)
        return job

    def create_many(
        self,
        jobs: Iterable[NewJob | tuple[str, dict[str, Any] | None]],
        *,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        run_at: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: float | timedelta | None = None,
        unique: str | None = None,
        on_conflict: OnConflict = "return",
        unique_for: float | timedelta | None = None,
        tags: Mapping[str, str | int] | None = None,
        metadata: dict[str, Any] | None = None,
        expires_at: datetime | None = None,
        expires_in: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
        notify: bool | None = None,
        connection: object = None,
        bind: object = None,
    ) -> list[Job]:
        """Store many jobs at once, all or none: by COPY, or in one statement if they have `unique`. Returns them in the order
        given. Of several jobs with one `unique` the first is stored, unless a later one replaces it.

        `jobs`: ("type", payload) pairs or NewJobs. The keywords mean the same as for `create`. They apply to pairs, and to
        NewJobs that leave the value at None. Raises what `create` raises; an InvalidJob names the place: `jobs[3]: ...`.
        """
        defaults = NewJob(
            "default", None, max_attempts, backoff_strategy, run_at, queue, priority,
            delay, unique, on_conflict, unique_for, tags, metadata, expires_at, expires_in, timeout,
        )  # fmt: skip
        return self._client.create_many(jobs, defaults, notify=notify, connection=bound(connection, bind))

    def statement(
        self,
        type: str,
        payload: dict[str, Any] | None = None,
        *,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        run_at: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: float | timedelta | None = None,
        unique: str | None = None,
        on_conflict: OnConflict = "return",
        unique_for: float | timedelta | None = None,
        tags: Mapping[str, str | int] | None = None,
        metadata: dict[str, Any] | None = None,
        expires_at: datetime | None = None,
        expires_in: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
        notify: bool | None = None,
        paramstyle: ParamStyle = "pyformat",
    ) -> Statement:
        """The SQL that stores a job, its parameters and the job's uid, for a driver whose connections `create` does not take,
        such as asyncpg: `sql, parameters, uid = manager.statement(...)`. It sends nothing.

        Execute it in your own transaction, once, and soon: the uid holds the time of this call. The keywords mean the same as
        for `create`; hooks of `around_create` are around the making. If there is a job with this `unique`, the statement
        stores nothing and returns no row, so `on_conflict` must be "return".
        `paramstyle`: how the placeholders are written. "pyformat": %(name)s; "named": :name, with a backslash before any other
        colon, as SQLAlchemy's `text()` reads it; both with a dict. "numeric_dollar": $1, with a list. Each parameter is a str
        or None. Raises InvalidJob, TypeError and ValueError.
        """
        new = NewJob(
            type, payload, max_attempts, backoff_strategy, run_at, queue, priority,
            delay, unique, on_conflict, unique_for, tags, metadata, expires_at, expires_in, timeout,
        )  # fmt: skip
        return self._client.statement(new, notify=notify, paramstyle=paramstyle)

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

    def find(self, job: Job | UUID | str, *, connection: object = None, bind: object = None) -> Job | None:
        """The job as it is now, or None if there is none. `job`: a Job or its uid.

        `connection`, `bind`: as for `create`. The answer then includes what its transaction has written. Raises SchemaError and
        Unavailable.
        """
        return self._client.find(job, bound(connection, bind))

    def history(
        self, job: Job | UUID | str, *, running: bool = False, connection: object = None, bind: object = None
    ) -> list[Attempt]:
        """The job's attempts that have ended, first to last.

        `running`: also the one that is under way, with the status `running`, no end, and the time of its claim as its start.
        `connection`, `bind`: as for `find`. Raises TypeError, SchemaError and Unavailable.
        """
        return self._client.history(job, running, bound(connection, bind))

    def logs(
        self, job: Job | UUID | str, attempt: int | None = None, *, connection: object = None, bind: object = None
    ) -> list[LogLine]:
        """What the attempts of the job have logged, first to last, or one attempt; see `capture_logs`. Of an attempt that logs
        more than 1 MiB, the beginning and the newest lines are kept, and a line of the logger `steve` says how many are
        missing in between.

        While the job runs, a line is there two seconds after it was logged. When the job has ended, all are.
        `connection`: as for `find`. Raises TypeError, ValueError, SchemaError and Unavailable.
        """
        return self._logs.logs(job, attempt, bound(connection, bind))

    def tail(self, job: Job | UUID | str) -> Iterator[LogLine]:
        """The lines of `logs()`, and then those that come, until the job has ended. It works in any process. If there is no
        such job, or not any more, it ends. Raises TypeError and ValueError; iterating raises SchemaError and Unavailable."""
        return self._logs.tail(job)

    def fetch_all(
        self,
        status: Status | str | None = None,
        *,
        type: str | None = None,
        queue: str | None = None,
        tags: Mapping[str, str | int] | None = None,
        error: str | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
        ended_before: datetime | None = None,
        ended_after: datetime | None = None,
        limit: int = 100,
        before: Job | None = None,
        connection: object = None,
        bind: object = None,
    ) -> list[Job]:
        """A page of at most `limit` (1 to 10,000) jobs, newest first, of one status, type and queue (None: of all), which have
        all of these `tags`, an error that contains this text, and were created and have ended between these times.

        `before`: the last job of the previous page. `connection`: as for `find`. Raises TypeError, ValueError, SchemaError and
        Unavailable.
        """
        more, held = Listed(error, created_before, created_after, ended_before, ended_after), bound(connection, bind)
        return self._client.fetch_all(
            status, type=type, queue=queue, tags=tags, limit=limit, before=before, more=more, connection=held
        )

    def failures(
        self,
        since: datetime | None = None,
        *,
        type: str | None = None,
        queue: str | None = None,
        tags: Mapping[str, str | int] | None = None,
        limit: int = 10_000,
    ) -> list[Failures]:
        """The newest failed jobs, at most `limit` (1 to 10,000), grouped by type and error, the largest groups first. Numbers,
        uuids and quoted texts in errors count as equal.

        `since`: only jobs that failed since then. `type`, `queue`, `tags`: as for `fetch_all`. It reads neither payloads nor
        results. Raises TypeError, ValueError, SchemaError and Unavailable.
        """
        return self._stats.failures(since, type, queue, tags, limit)

    def stats(
        self,
        over: float | timedelta | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        queue: str | None = None,
        type: str | None = None,
    ) -> Stats:
        """How many jobs there are of each queue, type and status, how long due jobs have waited, and how the jobs went that
        ended in a span of time: throughput, failures, retries, run and wait times. It works in any process.

        `over`: how long the span is, in seconds or as a timedelta; None: an hour. `since`: where the span begins, in place of
        `over`. `until`: where it ends; None: now. Both are aware datetimes. The span begins at a full minute, ten minutes or
        hour. Figures are kept for 30 days. `queue`, `type`: only the jobs of these; None: of all.
        It counts at most 100,000 pending and 100,000 running jobs; if there are more, a number is the least that there are: see
        `Count`. Processes write what they have counted every ten seconds. Raises TypeError, ValueError and SchemaError, and
        Unavailable, also when a statement takes longer than two seconds.
        """
        return self._stats.stats(over, since, until, queue, type)

    def prune(
        self,
        *,
        older_than: timedelta,
        status: Status | str | None = None,
        type: str | None = None,
        tags: Mapping[str, str | int] | None = None,
    ) -> int:
        """Delete the jobs that ended at least `older_than` ago, by the database's clock, with their attempts. Returns how many.

        `status`, `type`, `tags`: only jobs of this final status, of this type, with all of these tags; None: of all.
        It goes over the table once, in small transactions. Managers and other prunes may run meanwhile. If it is interrupted,
        the jobs deleted so far stay deleted, and the others are kept. With an age of less than a minute it may delete jobs
        that another process still asks for. Raises TypeError, ValueError, SchemaError, Unavailable and OutcomeUnknown.
        """
        return self._client.prune(older_than, status=status, type=type, tags=tags)

    # -- waiting --------------------------------------------------------------------------------------------------------

    def wait(self, job: Job | UUID | str, timeout: float | None = None) -> Job:
        """Wait until the job has ended, in whatever process it runs, and return it as it is then. It may have failed or been
        cancelled. The manager need not be started.

        `timeout`: seconds; None: however long it takes. An outage of the database is waited out. Raises TimeoutError, which
        tells the job's status; JobGone if the job was deleted meanwhile, or is not there for 10 seconds, as long as it may be
        part of an open transaction; NotRunning if the manager is stopped before the job has ended; SchemaError, TypeError and
        ValueError.
        """
        return self._waits.wait(job, timeout)

    def wait_all(self, jobs: Iterable[Job | UUID | str], timeout: float | None = None) -> list[Job]:
        """Do what `wait` does, for many jobs. Returns them in the order given, when all have ended. `timeout`: for all
        together. Raises what `wait` raises, as soon as that is true of one of the jobs."""
        return self._waits.wait_all(jobs, timeout)

    def future(self, job: Job | UUID | str) -> Future[Job]:
        """A future of the standard library that stands for the end of the job.

        Its result is the job, if that is completed. It raises JobFailed or JobCancelled, whose `job` is the job, and JobGone
        and NotRunning as `wait` does. `cancel()` returns at once, and soon cancels the job if it has not begun. So
        `concurrent.futures.wait`, `as_completed` and `asyncio.wrap_future` work. Functions given to `add_done_callback` are
        called by the thread of all waits, so they should not take long. Raises TypeError and ValueError.
        """
        return self._waits.future(job)

    # -- controlling ----------------------------------------------------------------------------------------------------

    def cancel(
        self, job: Job | UUID | str, reason: str | None = None, *, connection: object = None, bind: object = None
    ) -> Job | None:
        """Cancel a pending job, or ask a running one to stop. Returns the job as it is then; None if there is none.

        A pending job is `cancelled` at once, and this manager's `on_done` listeners are told if it is started. The handler of a
        running job sees `current_run().cancelled`, and may return all the same. `reason`: at most 1,000 characters.
        `connection`, `bind`: as for `create`. The change is part of its transaction. Raises NotPossible if the job has ended;
        SchemaError, Unavailable and OutcomeUnknown; TypeError and ValueError.
        """
        return self._control.cancel(job, reason, bound(connection, bind))

    def retry(
        self,
        job: Job | UUID | str,
        attempts: int | None = None,
        completed: bool = False,
        *,
        connection: object = None,
        bind: object = None,
    ) -> Job | None:
        """Make a job pending again that failed or was cancelled, due now. Returns the job as it is then; None if there is none.

        `attempts`: how many of its attempts may fail from now on, 1 to 10,000; None: as many as it was created with.
        `completed`: also run a job again that was completed. `connection`: as for `cancel`. Raises NotPossible if the job has
        another status, or if another job has its unique key now; else as `cancel`.
        """
        return self._control.retry(job, attempts, completed, bound(connection, bind))

    def reschedule(
        self,
        job: Job | UUID | str,
        *,
        run_at: datetime | None = None,
        delay: float | timedelta | None = None,
        connection: object = None,
        bind: object = None,
    ) -> Job | None:
        """Make a pending job due at another time. Returns the job as it is then; None if there is none.

        `run_at`: an aware datetime; past: now. `delay`: so long from now by the database's clock, in seconds or as a timedelta.
        One of the two must be given. `connection`: as for `cancel`. Raises NotPossible if the job is not pending; else as
        `cancel`.
        """
        return self._control.reschedule(job, run_at, delay, bound(connection, bind))

    def set_priority(
        self, job: Job | UUID | str, priority: int, *, connection: object = None, bind: object = None
    ) -> Job | None:
        """Give a pending job another priority, -100 to 100, higher first. Returns and raises what `reschedule` does."""
        return self._control.set_priority(job, priority, bound(connection, bind))

    def delete(self, job: Job | UUID | str, *, connection: object = None, bind: object = None) -> Job | None:
        """Delete a job that has ended, with its attempts. Returns the job as it was; None if there is none.

        `connection`: as for `cancel`. Raises NotPossible if the job has not ended; else as `cancel`.
        """
        return self._control.delete(job, bound(connection, bind))

    def cancel_all(
        self,
        *,
        status: Status | str | None = None,
        type: str | None = None,
        queue: str | None = None,
        tags: Mapping[str, str | int] | None = None,
        error: str | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
        ended_before: datetime | None = None,
        ended_after: datetime | None = None,
        reason: str | None = None,
        limit: int | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], Any] | None = None,
        connection: object = None,
        bind: object = None,
    ) -> Changed:
        """Do for all jobs that match what `cancel` does for one. Returns how many were changed, and how many were skipped.

        A job matches if it has this status, type and queue, these tags, an error that contains this text, and if it was created
        and has ended between these times. At least one of these must be given. A job that is created after the call has begun
        is never touched.
        `limit`: change at most so many. `rate`: not more than so many a second, 0.01 to 1,000,000,000.
        `dry_run`: change nothing, and return how many would be changed. `progress`: called with the number of jobs changed so
        far, after each batch of up to 1,000.
        `connection`: as for `cancel`; then all is one transaction. Otherwise each batch is one: what is changed stays changed
        if a later batch fails. If many events wait for slow listeners, it waits too. Raises TypeError, ValueError, SchemaError,
        Unavailable and OutcomeUnknown.
        """
        filters = Filters(status, type, queue, tags, error, created_before, created_after, ended_before, ended_after)
        return self._bulk.cancel_all(filters, Options(limit, dry_run, progress, bound(connection, bind), rate), reason)

    def retry_all(
        self,
        *,
        status: Status | str | None = None,
        type: str | None = None,
        queue: str | None = None,
        tags: Mapping[str, str | int] | None = None,
        error: str | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
        ended_before: datetime | None = None,
        ended_after: datetime | None = None,
        attempts: int | None = None,
        completed: bool = False,
        limit: int | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], Any] | None = None,
        connection: object = None,
        bind: object = None,
    ) -> Changed:
        """Do for all jobs that match what `retry` does for one. Arguments, result and errors are those of `cancel_all`.

        Of the jobs with one unique key it retries one, and none while another job has the key. The others are skipped.
        """
        filters = Filters(status, type, queue, tags, error, created_before, created_after, ended_before, ended_after)
        return self._bulk.retry_all(
            filters, Options(limit, dry_run, progress, bound(connection, bind), rate), attempts, completed
        )

    def delete_all(
        self,
        *,
        status: Status | str | None = None,
        type: str | None = None,
        queue: str | None = None,
        tags: Mapping[str, str | int] | None = None,
        error: str | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
        ended_before: datetime | None = None,
        ended_after: datetime | None = None,
        limit: int | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        progress: Callable[[int], Any] | None = None,
        connection: object = None,
        bind: object = None,
    ) -> Changed:
        """Do for all jobs that match what `delete` does for one. Arguments, result and errors are those of `cancel_all`."""
        filters = Filters(status, type, queue, tags, error, created_before, created_after, ended_before, ended_after)
        return self._bulk.delete_all(filters, Options(limit, dry_run, progress, bound(connection, bind), rate))

    def pause(
        self,
        queue: str | None = None,
        type: str | None = None,
        until: datetime | None = None,
        reason: str | None = None,
    ) -> Pause:
        """Begin no job of this queue, of this type, or of this type in this queue, in any process, until `resume()` is called
        with the same queue and type. Without a queue and a type: no job at all. Running jobs go on. Returns the pause.

        Jobs that a process has claimed and not begun go back, and their attempts do not count. The pause is in force within a
        tenth of a second where notifications arrive, and otherwise after the next heartbeat. It outlives all processes. A pause
        that is there already gets the new `until` and `reason`, and keeps its `since`.
        `until`: an aware datetime, from which on the jobs go on by themselves; past: nothing is paused. `reason`: 1 to 1,000
        characters, which `paused()` and `why()` show. Raises TypeError, ValueError, SchemaError, Unavailable and
        OutcomeUnknown.
        """
        return self._pausing.pause(queue, type, until, reason)

    def resume(self, queue: str | None = None, type: str | None = None) -> Pause | None:
        """End the pause that was made with the same queue and type. Returns it as it was; None if there is none.

        Other pauses go on: `resume()` without arguments ends the pause of all jobs, and no pause of a queue or a type. Raises
        TypeError, ValueError, SchemaError, Unavailable and OutcomeUnknown.
        """
        return self._pausing.resume(queue, type)

    def paused(self) -> list[Pause]:
        """The pauses that are in force now, in the order in which they began. Raises SchemaError and Unavailable."""
        return self._pausing.paused()

    def acting_as(self, actor: str) -> AbstractContextManager[None]:
        """A context manager: each call in its `with` block that changes jobs, pauses or schedules writes a row into `audit`.

        The block holds for this manager, in the thread or task that entered it. `prune` and `run_now` write a row, too, and
        `create` writes none. The row is written in the transaction of the change, and kept for 90 days. `actor`: 1 to 255
        characters. Raises TypeError and ValueError.
        """
        return self._audit.acting_as(actor)

    # -- schedules ------------------------------------------------------------------------------------------------------

    def cron(
        self,
        cron: str | None = None,
        type: str | None = None,
        payload: dict[str, Any] | None = None,
        *,
        every: timedelta | None = None,
        name: str | None = None,
        timezone: str = "UTC",
        catch_up: timedelta | None = None,
        catch_up_latest: bool = False,
        overlap: Overlap | None = None,
        jitter: float | timedelta = 0,
        queue: str | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        tags: Mapping[str, str | int] | None = None,
        metadata: dict[str, Any] | None = None,
        timeout: float | timedelta | None = None,
        expires_in: float | timedelta | None = None,
    ) -> Callable[[F], F]:
        """Decorator for a handler or a task: a job that runs it is created at each tick of the crontab, or at each multiple of
        `every` since 1970, by one of the processes that have this in their code and run jobs.

        `cron`: five fields, or six with the seconds first, in the zone `timezone`. It needs the extra `steve-jobs[cron]`.
        `every`: a timedelta of a second to 366 days. `type`: the type of the jobs; None: the task's, or module.qualname. The
        function becomes the handler of the type, unless it is that already.
        `payload`: the payload of each job; for a task, its keyword arguments. `name`: the name of the schedule; None: the type.
        `catch_up`: how late a tick that was missed is still fired, a timedelta of a second to 366 days. All missed ticks are
        fired, the oldest first; with `catch_up_latest` only the last. None: up to a minute late.
        `overlap`: "skip": no job is created while the schedule's last one has not ended. "allow": one is. None: "skip", or
        "allow" if all missed ticks are caught up. `jitter`: each job is due at a random time up to this long after its tick,
        in seconds or as a timedelta, at most a day.
        The other keywords are those of `create`. A schedule has no `unique`: `overlap` is there for that.

        Raises TypeError and ValueError, also for a name or a type that is taken. Raises InvalidJob for what
        `create` does not take, and SteveError for a crontab if cronsim is not installed.
        """
        when = When(cron, every, timezone, catch_up, catch_up_latest, overlap, jitter)
        options = given(
            queue=queue,
            priority=priority,
            max_attempts=max_attempts,
            backoff_strategy=backoff_strategy,
            tags=tags,
            metadata=metadata,
            timeout=timeout,
            expires_in=expires_in,
        )
        job, registry, schedules = (type, payload), self._registry, self._schedules
        cron_of = Cron(registry=registry, schedules=schedules, when=when, job=job, name=name, options=options)
        return cron_of.decorator()

    def set_schedule(
        self,
        name: str,
        cron: str | None = None,
        type: str | None = None,
        payload: dict[str, Any] | None = None,
        *,
        every: timedelta | None = None,
        timezone: str = "UTC",
        catch_up: timedelta | None = None,
        catch_up_latest: bool = False,
        overlap: Overlap | None = None,
        jitter: float | timedelta = 0,
        queue: str | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        tags: Mapping[str, str | int] | None = None,
        metadata: dict[str, Any] | None = None,
        timeout: float | timedelta | None = None,
        expires_in: float | timedelta | None = None,
    ) -> Schedule:
        """Store a schedule for the whole fleet, or replace the one of that name; any process that runs jobs fires it. The
        arguments are those of `cron`, but `type` must be given. Returns the schedule.

        If the stored schedule says the same already, nothing changes. If the new one has other ticks, it begins with its first
        tick from now on. It takes the place of a schedule in code of the same name. A paused schedule stays paused. Raises what
        `cron` raises, SchemaError, Unavailable and OutcomeUnknown.
        """
        when = When(cron, every, timezone, catch_up, catch_up_latest, overlap, jitter)
        options = given(
            queue=queue,
            priority=priority,
            max_attempts=max_attempts,
            backoff_strategy=backoff_strategy,
            tags=tags,
            metadata=metadata,
            timeout=timeout,
            expires_in=expires_in,
        )
        return self._schedules.set(name, when, type, payload, options)

    def remove_schedule(self, name: str) -> Schedule | None:
        """Remove a schedule. Returns it as it was; None: there is none. Jobs that it has created stay. If a process that runs
        has the schedule in its code, it comes back at once: pause it instead. Raises TypeError, ValueError, SchemaError,
        Unavailable and OutcomeUnknown."""
        return self._schedules.remove(name)

    def pause_schedule(self, name: str) -> Schedule:
        """Fire no tick of this schedule until `resume_schedule`. The ticks of that time are not fired later. Raises LookupError
        if there is no such schedule, and what `remove_schedule` raises."""
        return self._schedules.pause(name, True)

    def resume_schedule(self, name: str) -> Schedule:
        """Fire the ticks of this schedule again, from now on. Raises what `pause_schedule` raises."""
        return self._schedules.pause(name, False)

    def run_now(self, name: str) -> Job:
        """Create a job of this schedule now, even if it is paused or its last job has not ended. Its `scheduled_for` is the
        time of this call. Raises what `pause_schedule` raises; InvalidJob; SteveError for a crontab if cronsim is not
        installed."""
        return self._schedules.run_now(name)

    def schedules(self) -> list[Schedule]:
        """All schedules, by name: those that are stored, and those that processes, this one included, have in their code.
        Raises SchemaError and Unavailable."""
        return self._schedules.all()

    # -- handlers -------------------------------------------------------------------------------------------------------

    def handler(
        self,
        type: str,
        *,
        give_up_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        retry_delay: RetryDelay | None = None,
        timeout: float | timedelta | None = None,
        interrupt: bool = False,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        queue: str | None = None,
        priority: int | None = None,
        capture_logs: str | int | None = None,
        capture_print: bool | None = None,
    ) -> Callable[[H], H]:
        """Decorator: the function runs the jobs of that type.

        `give_up_on`: exceptions after which the job fails at once. `retry_delay`: called with the job and the error when the
        job is to be tried again; returns in how many seconds, 0 to 31,536,000, or None to give up. What it raises is logged,
        and the policy that is stored with the job decides.
        `timeout`: seconds or a timedelta that an attempt may take, for jobs that were created without one. None: the manager's.
        `interrupt`: at the deadline raise TimeLimit into the handler, wherever it is.
        `max_attempts`, `backoff_strategy`, `queue`, `priority`: as in `create`, for the jobs of this type that this manager
        creates without them.
        `capture_logs`, `capture_print`: what is kept of the runs, in place of what the manager says; False: nothing.

        Raises TypeError and ValueError, also when the type has a handler already.
        """
        terms = _terms(
            give_up_on,
            retry_delay,
            timeout,
            interrupt,
            max_attempts,
            backoff_strategy,
            queue,
            priority,
            capture_logs,
            capture_print,
        )
        return self._registry.handler(type, terms)

    def set_handler(
        self,
        type: str,
        handler: Handler | None,
        *,
        give_up_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        retry_delay: RetryDelay | None = None,
        timeout: float | timedelta | None = None,
        interrupt: bool = False,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        queue: str | None = None,
        priority: int | None = None,
        capture_logs: str | int | None = None,
        capture_print: bool | None = None,
    ) -> None:
        """Give the type this handler, in place of any earlier one. None takes the handler away. The keywords are those of
        `handler`, and replace what was said before."""
        terms = _terms(
            give_up_on,
            retry_delay,
            timeout,
            interrupt,
            max_attempts,
            backoff_strategy,
            queue,
            priority,
            capture_logs,
            capture_print,
        )
        self._registry.set_handler(type, handler, terms)

    def has_handler(self, type: str) -> bool:
        """Whether the type has a handler of its own."""
        return self._registry.handlers.has(type)

    def types(self) -> list[str]:
        """The types that have a handler of their own, sorted."""
        return sorted(self._registry.handlers.types())

    def reset_handlers(self) -> None:
        """Take all handlers away, except the fallback given to the constructor."""
        self._registry.reset_handlers()

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        on_conflict: OnConflict | None = None,
        tags: dict[str, str | int | bool] | None = None,
        metadata: dict[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        notify: bool | None = None,
        timeout: float | timedelta | None = None,
        interrupt: bool = False,
        give_up_on: ErrorTypes | None = None,
        retry_delay: Callable[[Job, BaseException], float | None] | None = None,
        capture_logs: str | int | None = None,
        capture_print: bool | None = None,
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        on_conflict: OnConflict | None = None,
        tags: dict[str, str | int | bool] | None = None,
        metadata: dict[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        notify: bool | None = None,
        timeout: float | timedelta | None = None,
        interrupt: bool = False,
        give_up_on: ErrorTypes | None = None,
        retry_delay: Callable[[Job, BaseException], float | None] | None = None,
        capture_logs: str | int | None = None,
        capture_print: bool | None = None,
    ) -> Any:
        """Decorator: jobs can call the function. `function.create(*args, **kwargs)` stores such a call; see `Task`. Called
        plainly, it is still the function.

        `name`: the type of the jobs; None: module.qualname. Of the others, `timeout`, `interrupt`, `give_up_on`,
        `retry_delay`, `capture_logs` and `capture_print` mean the same as for `handler`, and the rest the same as for `create`,
        for all jobs of this task. None: as if it were not given. Raises ValueError when the type has a handler already;
        TypeError for an async function.
        """
        handling = given(
            give_up_on=give_up_on,
            retry_delay=retry_delay,
            timeout=timeout,
            interrupt=interrupt,
            capture_logs=capture_logs,
            capture_print=capture_print,
        )
        creating = given(
            queue=queue,
            priority=priority,
            max_attempts=max_attempts,
            backoff_strategy=backoff_strategy,
            on_conflict=on_conflict,
            tags=tags,
            metadata=metadata,
            expires_in=expires_in,
            notify=notify,
        )

        def register(function: Callable[..., Any]) -> Task[..., Any]:
            check_handler(function)
            task = Task(function, name, self, creating)
            self.handler(task.type, **handling)(task.handler)
            return task

        return register if function is None else register(function)

    # -- hooks ----------------------------------------------------------------------------------------------------------

    def around(self, wrap: Callable[[Run], Any], types: str | Iterable[str] | None = None) -> Subscription:
        """Call each handler within the context manager `wrap(run)`. A generator function that yields once will do for `wrap`.

        The hook that was registered first is the outermost. It runs in the handler's thread and context, and
        `current_run()` works in it. What it raises, on the way in or out, takes the place of the handler's outcome: an error
        fails the attempt, and a Snooze postpones the job. Its `__exit__` sees what the handler raised and cannot swallow it.
        `types`: the types of jobs, None for all. Returns a function that removes the hook, and that is also a context
        manager. Raises TypeError and ValueError.
        """
        return self._registry.around.add(wrap, types)

    def around_create(self, wrap: Callable[[Creation], Any]) -> Subscription:
        """As `around`, with `wrap(creation)` around each call of `create` and `create_many`, in the caller's thread. What it
        raises is raised by that call, on the way in before anything is stored."""
        return self._client.around_create.add(wrap)

    def around_listener(self, wrap: Callable[[Job], Any]) -> Subscription:
        """As `around`, with `wrap(job)` around each call of a listener, in the dispatcher's thread. What it raises is logged,
        as what a listener raises."""
        return self._registry.listeners.hooks.add(wrap)

    def around_thread(self, wrap: Callable[[], Any]) -> Subscription:
        """As `around`, with `wrap()` around the whole life of each worker's and of the dispatcher's thread, from the next
        `start()` on.

        A handler runs in a copy of the context that these hooks leave, so what they set in a ContextVar is there. What a hook
        raises is logged, and the thread goes on without it. `stop()` returns after the hooks have ended.
        """
        return self._registry.around_thread.hooks.add(wrap)

    # -- listeners ------------------------------------------------------------------------------------------------------

    def on_success(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """Call `callback(job)` after each job of that type that this process completed. `type`: one, several, or None for all.

        One thread calls all listeners, once for each job, after the commit and in the order of the commits. If the process
        dies after the commit, the call may never come. Returns a function that removes the listener, and that is also a
        context manager. Without `callback`, returns a decorator.
        """
        return self._registry.listen("success", type, callback)

    def on_failure(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """As `on_success`, for jobs that ended `failed`. An error after which the job is retried is not a failure."""
        return self._registry.listen("failure", type, callback)

    def on_done(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """As `on_success`, for jobs that this process completed and for those that ended `failed` or `cancelled`."""
        return self._registry.listen("done", type, callback)

    def on_attempt(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """As `on_success`, with `callback(job, attempt)`, when an attempt begins (job.status is `running`) and when it ends
        (`pending` if it will be retried, `completed`, `failed` or `cancelled`)."""
        return self._registry.listen("attempt", type, callback)

    def on_unhealthy(self, callback: W) -> W:
        """Call `callback(health)` once when the started manager no longer does its work; see `health()`. A separate thread
        checks that every second. May be used as a decorator."""
        self._registry.health_listeners.add(False, callback)
        return callback

    def on_stuck(self, callback: StuckListener) -> Subscription:
        """Call `callback(job)` once for each job whose handler has not returned `stuck_after` seconds past its deadline; see
        `health()`. Returns a function that removes the listener, and that is also a context manager. Raises TypeError."""
        return self._registry.stuck_listeners.add(callback)

    def on_queue_latency(
        self, over: float | timedelta = 30.0, queue: str | None = None, callback: LatencyListener | None = None
    ) -> Any:
        """Call `callback(latency)` when jobs of that queue (None: of any) have been due for longer than `over` seconds, and
        once more when no job has been due for more than half of that. See `QueueLatency`.

        Each started manager checks this every five seconds and calls its own listeners, on the thread that calls those of
        `on_unhealthy`. What a listener raises is logged. Returns a function that removes the listener, and that is also a
        context manager. Without `callback`, returns a decorator. Raises TypeError and ValueError.
        """
        return self._registry.listen_to_latency(over, queue, callback)

    def on_healthy(self, callback: W) -> W:
        """Call `callback(health)` once when the manager does its work again. May be used as a decorator."""
        self._registry.health_listeners.add(True, callback)
        return callback

    @property
    def _inline(self) -> Inline:
        """For `steve.testing` alone, which runs jobs on the calling thread."""
        from steve._engine.inline.inline import Inline

        return Inline(
            settings=self._settings,
            registry=self._registry,
            connections=self._connections,
            explain=self._runner.explained,
            check=self._client.check,
        )


def _terms(
    give_up_on: Any,
    retry_delay: Any,
    timeout: Any,
    interrupt: Any,
    max_attempts: Any,
    backoff_strategy: Any,
    queue: Any,
    priority: Any,
    capture_logs: Any,
    capture_print: Any,
) -> HandlerTerms:
    return HandlerTerms(
        give_up_on=give_up_on,
        retry_delay=retry_delay,
        timeout=timeout,
        interrupt=interrupt,
        max_attempts=max_attempts,
        backoff_strategy=backoff_strategy,
        queue=queue,
        priority=priority,
        capture_logs=capture_logs,
        capture_print=capture_print,
    )
