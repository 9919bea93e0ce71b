"""Connections for the threads of callers: out of a psycopg ConnectionPool of our own, or out of the user's.

A pool of our own is opened by `start()` or the first call. It is closed by `stop()`, by the exit of the interpreter, or with
the last reference to the manager. A pool of the user's is used and never closed.
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
from steve._database.conninfo import connect_arguments
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
"""A caller that has waited so long for a connection asks the pool again, which then begins to connect anew."""
POOL_GIVES_UP_SECONDS = 1.0
"""For how long the pool tries to connect again after a failure; then it gives up, and the next call makes it begin anew. Its
own backoff doubles with each failure, so that callers would wait after an outage for as long again as the outage took."""


class CallerPool(Protocol):
    def lend(self, timeout: float) -> AbstractContextManager[Connection]:
        """A connection for one call, in autocommit and UTF-8. Waits for it at most so many seconds. Raises DatabaseFailure."""

    def open(self) -> None:
        """Open it now rather than with the first call."""

    def close(self) -> None: ...

    def reset_after_fork(self, started: bool) -> None:
        """In the child of a fork. `started`: the manager was started in the parent."""

    def reason(self, error: DatabaseFailure) -> str:
        """Why there was no connection."""


class OwnPool:
    def __init__(self, *, conninfo: str, timeout: float, answer_within: float, route: Route, order: HostOrder) -> None:
        """`timeout`: seconds after which a caller gives up."""
        self._conninfo = conninfo
        self._timeout = timeout
        self._answer_within = answer_within
        self._route = route
        self._order = order
        self.refused = ""
        """Why the last connection could not be opened."""
        self._fork_warning = ""
        self._lock = threading.Lock()  # protects the pool and its closing; the pool is opened under it
        self._pool: AnyPool | None = None
        self._was_interrupted = False
        self._close_pool: Callable[[], object] = lambda: None

    @contextmanager
    def lend(self, timeout: float) -> Iterator[Connection]:
        """As the pool's own connection(), but without its commit, which is for transactions. Waits for a connection at most
        ASK_AGAIN_SECONDS."""
        try:
            pool = self._opened()
        except RuntimeError as error:  # the system can start no thread now, and a pool needs two
            raise Transient(str(error)) from error
        try:
            # In the time that a caller has there are two tries at least: if the connections of the pool are broken, the first
            # try only finds that out.
            connection: Connection = pool.getconn(min(timeout, ASK_AGAIN_SECONDS, self._timeout / 2))
        except PoolTimeout as error:
            if self._was_interrupted and _is_used_up(pool):
                self._replace(pool)
            raise failure_of(error) from error
        except psycopg.Error as error:  # also PoolClosed, by stop() in another thread: the next try opens another pool
            raise failure_of(error) from error
        except BaseException:
            # A call that is interrupted while it waits (Ctrl-C in a shell, a time limit by a signal) stays in the pool's
            # queue. The pool lends it a connection all the same, which is never given back.
            self._was_interrupted = True
            raise
        try:
            yield connection
        finally:
            pool.putconn(connection)

    def open(self) -> None:
        """Open it while Python still starts threads: from 3.12 on it starts none at its exit, when listeners may still call."""
        self._opened()

    def _opened(self) -> AnyPool:
        with self._lock:
            warning, self._fork_warning = self._fork_warning, ""
            if self._pool is None or self._pool.closed:
                route, answer_within = self._route, self._answer_within

                def prepare(connection: Connection) -> None:
                    watchdog.call(lambda ours: prepare_for_call(ours, route), connection, answer_within)

                pool: AnyPool = ConnectionPool(
                    kwargs=connect_arguments(self._conninfo, self._timeout),
                    connection_class=self._connection_class(),
                    min_size=0,
                    max_size=POOL_MOST,
                    reconnect_timeout=POOL_GIVES_UP_SECONDS,
                    configure=prepare,  # without a reference to us: the pool must not keep alive what closes it
                    name="steve",
                    num_workers=1,
                    open=True,
                )
                self._pool = pool
                # At the interpreter's exit too: a pool that is left open delays it by 20 seconds on Python 3.13.
                self._close_pool = weakref.finalize(self, _close, pool, os.getpid())
                self._was_interrupted = False
            opened = self._pool
        if warning:
            logger.warning("%s", warning)  # without the lock: a log handler of the application may create a job
        return opened

    def _connection_class(self) -> type[Connection]:
        """Remembers which host answered, and why none did."""
        reference = weakref.ref(self)  # the pool must not keep alive what closes it

        class Ours(psycopg.Connection[Any]):
            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> Any:
                own = reference()
                try:
                    connection = super().connect(*args, **(kwargs if own is None else own._order.apply(kwargs)))
                except psycopg.Error as error:
                    if own is not None:
                        own.refused = str(error)
                    raise
                if own is not None:
                    own._order.answered(connection)
                return connection

        return Ours

    def _replace(self, pool: AnyPool) -> None:
        """Close this pool, which counts connections as lent that no thread has. The next call opens another one."""
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
        """Under the lock. Returns the function that closes the pool."""
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
        """The connection is as it was afterwards."""
        self._check_fork()
        try:
            with self.pool.connection(timeout) as connection, _as_ours(connection):
                yield connection
        except PoolClosed as error:
            raise SteveError("the pool given as db was closed: open it, or make a manager on another") from error
        except psycopg.Error as error:
            raise failure_of(error) from error

    def open(self) -> None:
        """The user has opened it. Raises ForkedProcessError."""
        self._check_fork()

    def close(self) -> None:
        pass

    def check_size(self, kept: list[str]) -> None:
        """Raises ValueError for a pool that cannot carry a manager that keeps connections for these loops."""
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
    """In autocommit (one round trip, and no transaction that is left open by an error) and in UTF-8 (payloads may hold any
    text); afterwards as it was.

    A connection on which something broke a statement off, such as a signal handler that raised, cannot be put back: it is
    closed, and what was raised comes through.
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
    if os.getpid() == pid:  # in the child of a fork it would end the parent's sessions
        pool.close()
