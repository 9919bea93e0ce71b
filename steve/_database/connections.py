"""All connections of a manager, made from its `db`: callers borrow them, and each loop of the engine keeps one."""

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
"""A call that has waited so long for a connection asks the pool again, so that the pool begins to connect anew."""


class SentJobs(NamedTuple):
    """Which jobs a statement sends, for the error if the connection breaks: they may have been stored."""

    jobs: int
    first: int
    """The uid of the first job, as an integer, because it takes time to make a UUID and it is rarely shown."""

    @property
    def uid(self) -> UUID:
        return UUID(int=self.first)

    def __str__(self) -> str:
        return f"job {self.uid}" if self.jobs == 1 else f"{self.jobs} jobs, the first of them {self.uid},"


class Connections:
    def __init__(self, *, db: object, listen_db: object, settings: Settings) -> None:
        """Opens no connection. `db`, `listen_db`: as in `JobManager`. Raises TypeError, ValueError and SteveError if one of
        them cannot be used."""
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
        """Call `statement` with a connection. If there is none, or it is lost, try again until `create_timeout` is over: so the
        statement may be carried out more than once.

        `sent`: the jobs that it stores. `more_seconds`: the connection counts as lost when the statement takes so much longer
        than `Tuning.answer_within`; None: never. Raises Unavailable, OutcomeUnknown, Refused and Misconfigured.
        """
        deadline = time.monotonic() + self._timeout
        backoff = Backoff(self._tuning)
        in_doubt = False
        while True:
            try:
                left = deadline - time.monotonic()
                # Leave time for two tries at least: if the pool's connections are broken, the first try only finds that out.
                patience = min(left, ASK_AGAIN_SECONDS, self._timeout / 2) if self._users is None else left
                return self.call_once(statement, timeout=patience, more_seconds=more_seconds)
            except (Transient, InDoubt) as error:
                in_doubt = in_doubt or isinstance(error, InDoubt)
                # After a wait for a connection, no further pause is needed.
                delay = 0.0 if isinstance(error.__cause__, PoolTimeout) else backoff.next()
                if time.monotonic() + delay >= deadline:
                    # Not chained: the text of psycopg's error quotes the data.
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
        """As `call`, with a single try. Waits at most `timeout` seconds for a connection. Raises DatabaseFailure."""
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
        """Open the pool for callers now. Raises ValueError if a user's pool is too small for a started manager."""
        notice_fork()
        if self._users is not None:
            self._users.check_size(self._kept())
        self._pool.open()

    def close(self) -> None:
        """Close our own pool. The next call opens another one."""
        self._pool.close()

    def reset_after_fork(self, *, started: bool) -> None:
        """In the child of a fork: forget the parent's pool without touching it. `started`: the manager was started in the
        parent."""
        self._pool.reset_after_fork(started)

    # -- for the engine -------------------------------------------------------------------------------------------------

    def for_loops(self) -> LoopConnections:
        """A connection for each loop. A broken one is opened again with the loop's own backoff: with a pool's, it would come
        back half a minute late after an outage.

        Connections of a user's pool are taken at once, because later there may be none left. Raises DatabaseFailure.
        """
        loops = LoopConnections(
            claim=self._loop(prepare_for_loop),
            settle=self._loop(prepare_for_loop),
            heartbeat=self._loop(None),
            listen=self._loop(None),
            scan=self._loop(prepare_for_loop),
        )
        if self._listen_conninfo is not None:
            route = Route()  # a Route of its own: this conninfo leads around the others' pooler
            prepare = self._preparing(prepare_for_call, route)
            direct = _Direct(self._listen_conninfo, HostOrder(), prepare, self._timeout)
            loops = loops._replace(heartbeat=self._kept_by(direct, route), listen=self._kept_by(direct, route))
        if self._users is not None:
            try:
                for name in self._kept():
                    getattr(loops, name).connection()
            except BaseException:
                loops.close()
                raise
        return loops

    def _loop(self, prepare_session: Prepare | None) -> LoopConnection:
        """`prepare_session`: gives the session its settings. None: the loop does not depend on them."""
        prepare = self._preparing(prepare_session, self._route)
        if self._users is not None:
            return self._kept_by(_OfUsersPool(self._users.pool, prepare, self._timeout), self._route)
        return self._kept_by(_Direct(self._conninfo, self._order, prepare, self._timeout), self._route)

    def _kept_by(self, opener: Opener, route: Route) -> LoopConnection:
        return LoopConnection(opener=opener, route=route, answer_within=self._tuning.answer_within)

    def _preparing(self, prepare_session: Prepare | None, route: Route) -> Callable[[Connection], None]:
        def prepare(connection: Connection) -> None:
            if prepare_session is not None:
                watchdog.call(lambda ours: prepare_session(ours, route), connection, self._tuning.answer_within)
            elif route.has_pooler:
                connection.prepare_threshold = None

        return prepare

    def _kept(self) -> list[str]:
        """The names of the loops whose connections come from `db` and are always open in a started manager."""
        if self._listen_conninfo is not None:
            return ["claim", "settle"]
        return ["claim", "settle", "heartbeat", *(["listen"] if self._notify else [])]


class _Direct:
    """An `Opener` that makes connections of our own."""

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
    """An `Opener` that takes connections from the user's pool."""

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
        # The session has our settings by now, so the connection is closed before it goes back. The pool opens another one.
        end_session(connection)
        self._pool.putconn(connection)
