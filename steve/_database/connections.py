"""All connections of a manager, made from its `db`: callers borrow them, and each loop of the engine keeps one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

import psycopg
from psycopg_pool import ConnectionPool

from steve._database.backoff import Backoff
from steve._database.connection import (
    HostOrder,
    Route,
    connect,
    end_session,
    prepare_for_call,
    prepare_for_loop,
    prepare_for_settling,
    use,
)
from steve._database.conninfo import Source, listen_source_of, source_of
from steve._database.failures import Connection, DatabaseFailure, InDoubt, NoConnection, Transient, failure_of, translated
from steve._database.loop_connection import LoopConnection, LoopConnections, Opener
from steve._database.pool import AnyPool, CallerPool, OwnPool, UsersPool
from steve._database.watchdog import watchdog
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from steve._runtime.fork import notice_fork
from steve.run import uninterrupted

T = TypeVar("T")
Prepare = Callable[[Connection, Route], None]


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
        self._more_pools = 0
        """How many pools of workers a started manager has beyond the first."""
        self._pool: CallerPool
        if isinstance(db, ConnectionPool):
            self._pool = self._users = UsersPool(db)
        else:
            self._source = source_of(db)
            self._pool = OwnPool(
                source=self._source,
                timeout=self._timeout,
                answer_within=self._tuning.answer_within,
                route=self._route,
                order=self._order,
            )
        self._listen_source = listen_source_of(listen_db)

    # -- for callers ----------------------------------------------------------------------------------------------------

    def call(
        self, statement: Callable[[Connection], T], *, timeout: float | None = None, more_seconds: float | None = 0.0
    ) -> T:
        """Call `statement` with a connection, once. Raises DatabaseFailure.

        `timeout`: how many seconds to wait for a connection; None: `create_timeout`. `more_seconds`: the connection counts as
        lost when the statement has taken this much longer than `Tuning.answer_within`; None: never.
        """
        notice_fork()
        try:
            with uninterrupted(), self._pool.lend(max(self._timeout if timeout is None else timeout, 0.01)) as connection:
                return use(connection, statement, None if more_seconds is None else self._tuning.answer_within + more_seconds)
        except psycopg.Error as error:
            raise failure_of(error) from error

    @contextmanager
    def transaction(self, *, at_once: int) -> Iterator[Connection]:
        """A connection on which a transaction is open, for the length of the block. At its end the transaction is committed, or
        rolled back if the block raises.

        `at_once`: how many threads may be in such a block at the same time. Raises DatabaseFailure if no transaction could be
        begun within `create_timeout`; the errors of the block and of the commit come through as they are.
        """
        notice_fork()
        self._pool.make_room(at_once)
        connection, begun = self._begin()
        try:
            with begun:
                yield connection
        except DatabaseFailure as error:  # a user's pool has translated it
            raise (error.__cause__ or error) from None

    def _begin(self) -> tuple[Connection, AbstractContextManager[object]]:
        """Begin a transaction. Returns its connection, and the context manager that ends it."""
        deadline = time.monotonic() + self._timeout
        backoff = Backoff(self._tuning)
        while True:
            try:
                with ExitStack() as stack:
                    connection = stack.enter_context(self._pool.lend(max(deadline - time.monotonic(), 0.01)))
                    with translated(connection):
                        stack.enter_context(connection.transaction())
                    return connection, stack.pop_all()
            except (Transient, InDoubt) as error:  # the next connection may be a sound one
                delay = 0.0 if isinstance(error, NoConnection) else backoff.next()
                if time.monotonic() + delay >= deadline:
                    raise
                time.sleep(delay)

    def reason(self, error: DatabaseFailure) -> str:
        """Why a call failed."""
        return self._pool.reason(error)

    def open(self, pools: int) -> None:
        """Open the pool for callers now. `pools`: of workers, as for `check_size`. Raises ValueError."""
        notice_fork()
        self.check_size(pools)
        self._pool.open()

    def check_size(self, pools: int, at_most: int = 0) -> None:
        """Raises ValueError if a user's pool is too small for a started manager with so many pools of workers. `at_most`: so
        many have a connection until those that end have none any more."""
        if self._users is not None:
            ending = max(at_most - pools, 0)
            self._users.check_size([*self._kept(), *["claim"] * (pools - 1), *["claim of a pool that ends"] * ending])
            self._more_pools = pools - 1

    def close(self) -> None:
        """Close our own pool. The next call opens another one."""
        self._pool.close()

    def reset_after_fork(self, *, started: bool) -> None:
        """In the child of a fork: forget the parent's pool without touching it. `started`: the manager was started in the
        parent."""
        self._pool.reset_after_fork(started)

    # -- for the engine -------------------------------------------------------------------------------------------------

    def for_loops(self) -> LoopConnections:
        """A connection for each loop. The loop opens a broken one again with its own backoff. With a pool's backoff, the
        connection would come back half a minute late after an outage.

        Connections of a user's pool are taken at once, because later there may be none left. Raises DatabaseFailure.
        """
        loops = LoopConnections(
            claim=self._loop(prepare_for_loop),
            settle=self._loop(prepare_for_settling(self._tuning.lock_patience)),
            heartbeat=self._loop(None),
            listen=self._loop(None),
            scan=self._loop(prepare_for_loop),
        )
        if self._listen_source is not None:
            route = Route()  # a Route of its own: this conninfo bypasses the pooler of the others
            prepare = self._preparing(prepare_for_call, route)
            direct = _Direct(self._listen_source, HostOrder(), prepare, self._timeout)
            loops = loops._replace(
                heartbeat=_kept_by(self._tuning, direct, route), listen=_kept_by(self._tuning, direct, route)
            )
        if self._users is not None:
            try:
                for name in self._kept():
                    getattr(loops, name).connection()
            except BaseException:
                loops.close()
                raise
        return loops

    def for_claims(self) -> LoopConnection:
        """One more connection for claims."""
        return self._loop(prepare_for_loop)

    def for_waits(self) -> LoopConnection | None:
        """A connection for the thread that waits for jobs to end, which need not be open in any started manager. None: the
        user's pool is too small for one, so that thread has to borrow one for each statement. Raises SteveError."""
        if self._listen_source is not None:
            route = Route()
            opener: Opener = _Direct(self._listen_source, HostOrder(), self._preparing(prepare_for_loop, route), self._timeout)
            return _kept_by(self._tuning, opener, route)
        if self._users is not None:
            self._users.check_open()
            if 0 < self._users.pool.max_size <= len(self._kept()) + self._more_pools + 1:
                return None
        return self._loop(prepare_for_loop)

    def check_open(self) -> None:
        """Raises SteveError if the user's pool cannot be used any more."""
        if self._users is not None:
            self._users.check_open()

    def _loop(self, prepare_session: Prepare | None) -> LoopConnection:
        """`prepare_session`: gives the session its settings. None: the loop does not depend on them."""
        prepare = self._preparing(prepare_session, self._route)
        if self._users is not None:
            return _kept_by(self._tuning, _OfUsersPool(self._users.pool, prepare, self._timeout), self._route)
        return _kept_by(self._tuning, _Direct(self._source, self._order, prepare, self._timeout), self._route)

    def _preparing(self, prepare_session: Prepare | None, route: Route) -> Callable[[Connection], None]:
        def prepare(connection: Connection) -> None:
            if prepare_session is not None:
                watchdog.call(lambda ours: prepare_session(ours, route), connection, self._tuning.answer_within)
            elif route.has_pooler:
                connection.prepare_threshold = None

        return prepare

    def _kept(self) -> list[str]:
        """The names of the loops whose connections come from `db` and are always open in a started manager."""
        if self._listen_source is not None:
            return ["claim", "settle"]
        return ["claim", "settle", "heartbeat", *(["listen"] if self._notify else [])]


def _kept_by(tuning: Tuning, opener: Opener, route: Route) -> LoopConnection:
    return LoopConnection(opener=opener, route=route, answer_within=tuning.answer_within)


class _Direct:
    """An `Opener` that makes connections of our own."""

    def __init__(self, source: Source, order: HostOrder, prepare: Callable[[Connection], None], timeout: float) -> None:
        self._source = source
        self._order = order
        self._prepare = prepare
        self._timeout = timeout

    def open(self) -> Connection:
        return connect(self._source(), self._timeout, self._prepare, self._order)

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
