"""All connections of a manager, made from its `db`: those that callers borrow, and those that the engine's loops keep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from steve._database.backoff import Backoff
from steve._database.connection import HostOrder, Route, connect, end_session, prepare_for_call, prepare_for_loop, use
from steve._database.conninfo import conninfo_of, listen_conninfo_of
from steve._database.failures import Connection, InDoubt, Transient, failure_of
from steve._database.loop_connection import LoopConnection, LoopConnections, Opener
from steve._database.pool import AnyPool, CallerPool, OwnPool, UsersPool
from steve._database.watchdog import watchdog
from steve._model.settings import Settings
from steve._runtime.fork import notice_fork
from steve.errors import OutcomeUnknown, Unavailable

T = TypeVar("T")
Prepare = Callable[[Connection, Route], None]

ASK_AGAIN_SECONDS = 2.0
"""When a caller asks the pool again, so that it begins to connect anew."""


class SentJobs(NamedTuple):
    """The jobs that may have been stored when the connection breaks."""

    jobs: int
    first: int
    """The uid of the first, as an integer: few are ever shown."""

    @property
    def uid(self) -> UUID:
        return UUID(int=self.first)

    def __str__(self) -> str:
        return f"job {self.uid}" if self.jobs == 1 else f"{self.jobs} jobs, the first of them {self.uid},"


class Connections:
    def __init__(self, *, db: object, listen_db: object, settings: Settings) -> None:
        """`db`, `listen_db`: as in `JobManager`. Raises what is wrong with them, and opens nothing."""
        self._timeout = settings.create_timeout
        self._tuning = settings.tuning
        self._notify = settings.notify
        self._route = Route()
        self._order = HostOrder()
        self._users: UsersPool | None = None
        self._conninfo = ""
        self._pool: CallerPool
        if isinstance(db, ConnectionPool):
            self._pool = self._users = UsersPool(db)
        else:
            self._conninfo = conninfo_of(db)
            self._pool = OwnPool(
                conninfo=self._conninfo,
                timeout=self._timeout,
                answer_within=self._tuning.answer_within,
                route=self._route,
                order=self._order,
            )
        self._listen_conninfo = listen_conninfo_of(listen_db)

    # -- for callers ----------------------------------------------------------------------------------------------------

    def call(
        self,
        statement: Callable[[Connection], T],
        *,
        sent: SentJobs | None = None,
        more_seconds: float | None = 0.0,
    ) -> T:
        """Call `statement` with a connection, and again while that is lost, until `create_timeout` is over. It must bear being
        done twice.

        `sent`: the jobs that it stores. `more_seconds`: the connection counts as lost when the statement has taken so much
        longer than `Tuning.answer_within`; None: never. Raises Unavailable, OutcomeUnknown, Refused and Misconfigured.
        """
        deadline = time.monotonic() + self._timeout
        backoff = Backoff(self._tuning)
        in_doubt = False
        while True:
            try:
                left = deadline - time.monotonic()
                # At least twice: where the pool has lost its connections, the first time finds that out.
                patience = min(left, ASK_AGAIN_SECONDS, self._timeout / 2) if self._users is None else left
                return self.call_once(statement, timeout=patience, more_seconds=more_seconds)
            except (Transient, InDoubt) as error:
                in_doubt = in_doubt or isinstance(error, InDoubt)
                # To have waited for a connection is to have waited.
                delay = 0.0 if isinstance(error.__cause__, PoolTimeout) else backoff.next()
                if time.monotonic() + delay >= deadline:
                    # Not chained: the text of the driver's error quotes the data.
                    reason = self._pool.reason(error)
                    if in_doubt and sent is not None:
                        raise OutcomeUnknown(
                            f"the connection broke while {sent} was sent, and the database stayed away: it may have been "
                            f"stored ({reason}); find(uid) tells when the database is back",
                            sent.uid,
                        ) from None
                    raise Unavailable(f"the database could not be used within {self._timeout:g} s: {reason}") from None
                time.sleep(delay)

    def call_once(self, statement: Callable[[Connection], T], *, timeout: float, more_seconds: float | None = 0.0) -> T:
        """The same without another try, with a connection that comes within `timeout` seconds. Raises DatabaseFailure."""
        notice_fork()
        try:
            with self._pool.lend(max(timeout, 0.01)) as connection:
                if more_seconds is None:
                    return use(connection, statement)
                seconds = self._tuning.answer_within + more_seconds
                return use(connection, lambda ours: watchdog.call(statement, ours, seconds))
        except psycopg.Error as error:
            raise failure_of(error) from error

    def open(self) -> None:
        """Open the pool for callers now. Raises ValueError for a user's pool that cannot carry a started manager."""
        notice_fork()
        if self._users is not None:
            self._users.check_size(self._kept())
        self._pool.open()

    def close(self) -> None:
        """Close the pool of our own; the next call opens another."""
        self._pool.close()

    def reset_after_fork(self, *, started: bool) -> None:
        """In the child of a fork: no pool, and nothing of the parent's is touched. `started`: the manager was, there."""
        self._pool.reset_after_fork(started)

    # -- for the engine -------------------------------------------------------------------------------------------------

    def for_loops(self) -> LoopConnections:
        """A connection for each loop, which opens it again with its own back-off: a pool's would be half a minute late after an
        outage.

        Those of a user's pool are taken at once: later there may be none left. Raises DatabaseFailure.
        """
        loops = LoopConnections(
            claim=self._loop(prepare_for_loop),
            settle=self._loop(prepare_for_loop),
            heartbeat=self._loop(None),
            listen=self._loop(None),
            scan=self._loop(prepare_for_loop),
        )
        if self._listen_conninfo is not None:
            route = Route()  # not the route of the others: this one is to lead around their pooler
            heartbeat, listen = (
                self._with(
                    _Direct(self._listen_conninfo, HostOrder(), self._prepare(prepare_for_call, route), self._timeout), route
                )
                for _ in range(2)
            )
            loops = loops._replace(heartbeat=heartbeat, listen=listen)
        if self._users is not None:
            try:
                for name in self._kept():
                    getattr(loops, name).connection()
            except BaseException:
                loops.close()
                raise
        return loops

    def _loop(self, prepare_session: Prepare | None) -> LoopConnection:
        """`prepare_session`: None: as the connection comes, for a loop that does not depend on its settings."""
        prepare = self._prepare(prepare_session, self._route)
        if self._users is not None:
            return self._with(_OfUsersPool(self._users.pool, prepare, self._timeout), self._route)
        return self._with(_Direct(self._conninfo, self._order, prepare, self._timeout), self._route)

    def _with(self, opener: Opener, route: Route) -> LoopConnection:
        return LoopConnection(opener=opener, route=route, answer_within=self._tuning.answer_within)

    def _prepare(self, prepare_session: Prepare | None, route: Route) -> Callable[[Connection], None]:
        def prepare(connection: Connection) -> None:
            if prepare_session is not None:
                watchdog.call(lambda ours: prepare_session(ours, route), connection, self._tuning.answer_within)
            elif route.has_pooler:
                connection.prepare_threshold = None

        return prepare

    def _kept(self) -> list[str]:
        """The loops of a started manager whose connections come from `db` and are always open."""
        if self._listen_conninfo is not None:
            return ["claim", "settle"]
        return ["claim", "settle", "heartbeat", *(["listen"] if self._notify else [])]


class _Direct:
    """`Opener` of connections of our own."""

    def __init__(self, conninfo: str, order: HostOrder, prepare: Callable[[Connection], None], timeout: float) -> None:
        self._conninfo = conninfo
        self._order = order
        self._prepare = prepare
        self._timeout = timeout

    def open(self) -> Connection:
        return connect(self._conninfo, self._timeout, self._prepare, self._order)

    def close(self, connection: Connection) -> None:
        connection.close()


class _OfUsersPool:
    """`Opener` of connections of the user's pool."""

    def __init__(self, pool: AnyPool, prepare: Callable[[Connection], None], timeout: float) -> None:
        self._pool = pool
        self._prepare = prepare
        self._timeout = timeout

    def open(self) -> Connection:
        connection: Connection = self._pool.getconn(timeout=self._timeout)
        try:
            connection.set_autocommit(True)
            self._prepare(connection)
        except BaseException:
            self.close(connection)
            raise
        return connection

    def close(self, connection: Connection) -> None:
        # Closed, not returned as it is: its session has our settings by now, and the pool opens a fresh one in its place.
        end_session(connection)
        self._pool.putconn(connection)
