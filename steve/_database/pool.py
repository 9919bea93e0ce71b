"""Lends connections to the threads of callers, from a psycopg ConnectionPool: our own (OwnPool) or the user's (UsersPool).

`start()` or the first call opens our own pool. It is closed by `stop()`, at the interpreter's exit, or when nothing refers to
the manager any more. The user's pool is never closed.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import psycopg
from psycopg import pq
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from steve._database.connection import HostOrder, Route, end_session, prepare_for_call
from steve._database.conninfo import Source, connect_arguments
from steve._database.execute import execute
from steve._database.failures import Connection, DatabaseFailure, NoConnection, Transient, failure_of
from steve._database.watchdog import watchdog
from steve._runtime.fork import leave_alone
from steve._runtime.log import logger
from steve.errors import ForkedProcessError, SteveError

AnyPool = ConnectionPool[Any]

POOL_MOST = 10
"""Connections for callers, at most. The pool opens them as threads need them, and closes them after ten idle minutes."""
ASK_AGAIN_SECONDS = 2.0
"""A caller that has waited this long for a connection asks the pool again, and the pool then begins to connect anew."""
POOL_GIVES_UP_SECONDS = 1.0
"""For how long the pool tries to connect after a failure. Then it gives up, and the next call makes it begin anew. Otherwise,
since the pool's own backoff doubles with each failure, callers would wait after an outage for as long as the outage took."""


class CallerPool(Protocol):
    def lend(self, timeout: float) -> AbstractContextManager[Connection]:
        """A connection for one call, in autocommit and UTF-8. Waits at most `timeout` seconds. Raises DatabaseFailure."""

    def open(self) -> None:
        """Open the pool now, not with the first call."""

    def close(self) -> None: ...

    def make_room(self, more: int) -> None:
        """So many threads may keep a connection for long, while others need one for a call."""

    def reset_after_fork(self, started: bool) -> None:
        """In the child of a fork. `started`: the manager was started in the parent."""

    def reason(self, error: DatabaseFailure) -> str:
        """Why the database could not be used, for the message of an error."""


class OwnPool:
    def __init__(self, *, source: Source, timeout: float, answer_within: float, route: Route, order: HostOrder) -> None:
        """`timeout`: seconds after which a caller gives up."""
        self._source = source
        self._timeout = timeout
        self._answer_within = answer_within
        self._route = route
        self._order = order
        self.refused = ""
        """The text of the last error when a connection could not be opened."""
        self._fork_warning = ""
        self._lock = threading.Lock()  # protects the pool, its size and its closing; the pool is opened under it
        self._pool: AnyPool | None = None
        self._most = POOL_MOST
        self._was_interrupted = False
        self._close_pool: Callable[[], object] = lambda: None

    @contextmanager
    def lend(self, timeout: float) -> Iterator[Connection]:
        """As the pool's own connection(), but without its commit, which is for transactions. Waits for a connection at most
        ASK_AGAIN_SECONDS."""
        try:
            pool = self._opened()
        except RuntimeError as error:  # a pool needs two threads, and the system can start none now
            raise Transient(str(error)) from error
        try:
            # The time that a caller has must be enough for two tries: if the pool's connections are broken, the first try only
            # finds that out.
            connection: Connection = pool.getconn(min(timeout, ASK_AGAIN_SECONDS, self._timeout / 2))
        except PoolTimeout as error:
            if self._was_interrupted and _is_used_up(pool):
                self._replace(pool)
            raise failure_of(error) from error
        except psycopg.Error as error:  # PoolClosed too, after a stop() in another thread: the next try opens another pool
            raise failure_of(error) from error
        except BaseException:
            # If a call is interrupted while it waits (by Ctrl-C in a shell, or a signal for a time limit), it stays in the
            # pool's queue. The pool will lend it a connection nevertheless, and never get it back.
            self._was_interrupted = True
            raise
        try:
            yield connection
        finally:
            pool.putconn(connection)

    def open(self) -> None:
        """Open the pool while Python still starts threads. From 3.12 on it starts none at its exit, when listeners may still
        create jobs."""
        self._opened()

    def make_room(self, more: int) -> None:
        if self._most >= POOL_MOST + more:
            return
        with self._lock:
            self._most = POOL_MOST + more
            if self._pool is not None and not self._pool.closed:
                self._pool.resize(0, self._most)

    def _opened(self) -> AnyPool:
        with self._lock:
            warning, self._fork_warning = self._fork_warning, ""
            if self._pool is None or self._pool.closed:
                route, answer_within = self._route, self._answer_within

                def prepare(connection: Connection) -> None:
                    watchdog.call(lambda ours: prepare_for_call(ours, route), connection, answer_within)

                pool: AnyPool = ConnectionPool(
                    kwargs={"autocommit": True},
                    connection_class=self._connection_class(),
                    min_size=0,
                    max_size=self._most,
                    reconnect_timeout=POOL_GIVES_UP_SECONDS,
                    configure=prepare,  # it must not refer to self: the pool is closed when self is gone
                    name="steve",
                    num_workers=1,
                    open=True,
                )
                self._pool = pool
                # This also runs at the interpreter's exit: on Python 3.13 an open pool would delay the exit by 20 seconds.
                self._close_pool = weakref.finalize(self, _close, pool, os.getpid())
                self._was_interrupted = False
            opened = self._pool
        if warning:
            logger.warning("%s", warning)  # not under the lock: a log handler of the application may create a job
        return opened

    def _connection_class(self) -> type[Connection]:
        """A class of connections that report which host answered, or why none did."""
        reference = weakref.ref(self)  # weak: the pool is closed when self is gone

        class Ours(psycopg.Connection[Any]):
            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> Any:
                own = reference()
                if own is None:
                    raise psycopg.OperationalError("nothing refers to the manager of this pool any more")
                try:
                    arguments = connect_arguments(own._source(), own._timeout) | kwargs
                    connection = super().connect(*args, **own._order.apply(arguments))
                except psycopg.Error as error:
                    own.refused = str(error)
                    raise
                own._order.answered(connection)
                return connection

        return Ours

    def _replace(self, pool: AnyPool) -> None:
        """Close this pool, which has lent connections to calls that no longer wait. The next call opens another pool."""
        with self._lock:
            if self._pool is not pool:  # another thread has replaced it
                return
            close = self._forget()
        logger.warning("the pool of connections lost some to threads that were interrupted while they waited: it is replaced")
        close()

    def close(self) -> None:
        with self._lock:
            close = self._forget()
        close()

    def _forget(self) -> Callable[[], object]:
        """Called under the lock. Returns the function that closes the pool."""
        close, self._close_pool, self._pool = self._close_pool, lambda: None, None
        return close

    def reset_after_fork(self, started: bool) -> None:
        leave_alone(self._pool)
        self._lock = threading.Lock()
        self._pool, self._close_pool = None, lambda: None
        if started:
            self._fork_warning = (
                "the manager was started before this process was forked off: it runs in the parent, and here it is "
                "one that was never started"
            )

    def reason(self, error: DatabaseFailure) -> str:
        """The pool says only that there was no connection in time; the last attempt to connect knows why."""
        return self.refused if isinstance(error, NoConnection) and self.refused else str(error)


class UsersPool:
    def __init__(self, pool: AnyPool) -> None:
        if pool.closed:
            raise SteveError("db is a pool that is not open: call its open() first, steve leaves that to you")
        self.pool = pool
        self._is_forked = False

    @contextmanager
    def lend(self, timeout: float) -> Iterator[Connection]:
        """Restores the connection's former settings afterwards. Raises SteveError as well."""
        self._check_fork()
        try:
            with self.pool.connection(timeout) as connection, _as_ours(connection):
                yield connection
        except PoolClosed as error:
            raise SteveError("the pool given as db was closed: open it, or make a manager on another") from error
        except psycopg.Error as error:
            raise failure_of(error) from error

    def open(self) -> None:
        """Does nothing, since the user has opened the pool. Raises ForkedProcessError."""
        self._check_fork()

    def close(self) -> None:
        pass

    def make_room(self, more: int) -> None:
        """Does nothing, since the user has said how large the pool is."""

    def check_open(self) -> None:
        """Raises ForkedProcessError, and SteveError if the user has closed the pool."""
        self._check_fork()
        if self.pool.closed:
            raise SteveError("the pool given as db was closed: this manager cannot reach the database any more")

    def check_size(self, kept: list[str]) -> None:
        """Raises ValueError if the pool is too small for a manager that keeps a connection for each of these loops."""
        if 0 < self.pool.max_size <= len(kept):
            raise ValueError(
                f"the pool is too small: a started manager keeps {len(kept)} connections of it ({', '.join(kept)}) "
                f"and needs one for calls; give it max_size={len(kept) + 1} or more, not {self.pool.max_size}"
            )

    def reset_after_fork(self, started: bool) -> None:
        self._is_forked = True

    def reason(self, error: DatabaseFailure) -> str:
        return str(error)

    def _check_fork(self) -> None:
        if self._is_forked:
            raise ForkedProcessError(
                "the pool given as db belongs to the process that made it, and this is a child that was forked off: "
                "make a pool and a manager here"
            )


def _is_used_up(pool: AnyPool) -> bool:
    stats = pool.get_stats()
    return stats["pool_size"] >= stats["pool_max"] and not stats["pool_available"]


@contextmanager
def _as_ours(connection: Connection) -> Iterator[None]:
    """Sets autocommit (one round trip, and no error leaves a transaction open) and UTF-8 (payloads may hold any text), and
    afterwards restores the former values.

    If a statement was interrupted, for example by a signal handler that raised, they cannot be restored: the connection is
    closed, and the exception is raised unchanged.
    """
    autocommit, encoding = connection.autocommit, connection.info.encoding
    before = connection.pgconn.parameter_status(b"client_encoding") or b"UTF8"
    try:
        connection.set_autocommit(True)
        if encoding != "utf-8":
            execute(connection, "select set_config('client_encoding', 'UTF8', false)")
        yield
    finally:
        if connection.info.transaction_status != pq.TransactionStatus.IDLE:
            end_session(connection)
        else:
            if encoding != "utf-8":
                execute(connection, "select set_config('client_encoding', %s, false)", [before.decode()])
            connection.set_autocommit(autocommit)


def _close(pool: AnyPool, pid: int) -> None:
    if os.getpid() == pid:  # in the child of a fork, closing would end the parent's sessions
        pool.close()
