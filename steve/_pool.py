"""Where connections come from: a psycopg ConnectionPool for the callers' threads, and the lines of the engine's loops.

The manager makes one from its `db`. A pool of our own is opened by `start()` or the first call and closed by `stop()`, by
the exit of the interpreter, or with the last reference to the manager; a pool of the user's is used and never closed.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from ._ask import ask, trouble
from ._connection import (
    Connection,
    Line,
    Pooler,
    Way,
    connect,
    connect_arguments,
    conninfo_of,
    end_session,
    listen_conninfo_of,
    prepare_for_call,
    prepare_for_loop,
    use,
)
from ._fork import leave_alone, notice_fork
from ._log import logger
from ._outage import Backoff
from ._watchdog import watchdog
from .errors import ForkedProcessError, OutcomeUnknown, SteveError, Trouble, Unavailable, Unknown, Weather
from .settings import ANSWER_SECONDS

T = TypeVar("T")
AnyPool = ConnectionPool[Any]

POOL_MOST = 10
"""Connections for callers, at most; they are opened as threads need them and closed again after ten idle minutes."""
POOL_GIVES_UP_SECONDS, ASK_AGAIN_SECONDS = 1.0, 2.0
"""How long the pool goes on after it could not connect, and when a caller asks it again, so that it begins anew. By itself it
waits twice as long after each failure: callers would find the database back as late again as it had been away."""


class Sent(NamedTuple):
    """The jobs that may have been stored when the connection breaks."""

    jobs: int
    """How many."""
    first: int
    """The uid of the first, as an integer: few are ever shown."""

    @property
    def uid(self) -> UUID:
        return UUID(int=self.first)

    def __str__(self) -> str:
        return f"job {self.uid}" if self.jobs == 1 else f"{self.jobs} jobs, the first of them {self.uid},"


class Lines(NamedTuple):
    """The connections of a started manager."""

    claim: Line
    settle: Line
    heartbeat: Line
    listen: Line
    scan: Line
    """Open only while there is something to ask beside the claims: slow full scans, rescues, doubts about what is held."""

    def leave_to_parent(self) -> None:
        for line in self:
            line.leave_to_parent()

    def close(self) -> None:
        for line in self:
            line.close()


class Connections:
    def __init__(self, db: object, timeout: float, listen_db: object) -> None:
        """`timeout`: how long a call tries to reach the database, in seconds. `listen_db`: the conninfo of what needs a
        session of its own: the listener and the heartbeat."""
        self._timeout = timeout
        self._theirs: AnyPool | None = None
        self._conninfo = ""
        if isinstance(db, ConnectionPool):
            if db.closed:
                raise SteveError("db is a pool that is not open: call its open() first, steve leaves that to you")
            self._theirs = db
        else:
            self._conninfo = conninfo_of(db)
        self._listen_conninfo = listen_conninfo_of(listen_db)
        self._pooler = Pooler()
        self._way = Way()
        self._refused = ""  # why the last connection of the pool could not be opened
        self._forked = ""  # in the child of a fork: what the first call says
        self._lock = threading.Lock()  # protects _ours, _close_ours and _borrowed
        self._ours: AnyPool | None = None
        self._borrowed = Borrowed()
        self._close_ours: Callable[[], object] = lambda: None

    # -- for callers ----------------------------------------------------------------------------------------------------

    def call(
        self, statement: Callable[[Connection], T], sent: Sent | None = None, answer_in: float | None = ANSWER_SECONDS
    ) -> T:
        """What `statement` makes of a connection, tried again while that is lost, for the timeout.

        It must bear being done twice. `sent`: what it stores. `answer_in`: the connection counts as lost when the statement
        has taken so many seconds; None: never. Raises Unavailable, OutcomeUnknown, Refused and Misconfigured.
        """
        deadline = time.monotonic() + self._timeout
        backoff = Backoff()
        unknown = False
        while True:
            try:
                left = deadline - time.monotonic()
                # Twice at least: where the pool has lost its connections, the first time finds that out.
                patience = min(left, ASK_AGAIN_SECONDS, self._timeout / 2) if self._theirs is None else left
                return self.once(statement, patience, answer_in)
            except (Weather, Unknown) as error:
                unknown = unknown or isinstance(error, Unknown)
                # Who has waited for a connection has waited.
                delay = 0.0 if isinstance(error.__cause__, PoolTimeout) else backoff.next()
                if time.monotonic() + delay >= deadline:
                    if unknown and sent is not None:
                        raise OutcomeUnknown(
                            f"the connection broke while {sent} was sent, and the database stayed away: it may have been "
                            f"stored ({self._reason(error)}); find(uid) tells when the database is back",
                            sent.uid,
                        ) from None  # see _calls
                    raise Unavailable(
                        f"the database could not be used within {self._timeout:g} s: {self._reason(error)}"
                    ) from None
                time.sleep(delay)

    def _reason(self, error: Trouble) -> str:
        """A pool says only that it had no connection in time; the last attempt to connect knows why."""
        if self._theirs is None and isinstance(error.__cause__, PoolTimeout) and self._refused:
            return self._refused
        return str(error)

    def _connection_class(self) -> type[Connection]:
        """Remembers which host answered, and why none did."""
        connections = weakref.ref(self)  # the pool must not hold on to what closes it

        class Ours(psycopg.Connection[Any]):
            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> Any:
                one = connections()
                try:
                    connection = super().connect(*args, **(kwargs if one is None else one._way.order(kwargs)))
                except psycopg.Error as error:
                    if one is not None:
                        one._refused = str(error)
                    raise
                if one is not None:
                    one._way.led_to(connection)
                return connection

        return Ours

    def once(self, statement: Callable[[Connection], T], timeout: float, answer_in: float | None = ANSWER_SECONDS) -> T:
        """The same, tried once: with a connection that comes within `timeout` seconds. Raises Trouble."""
        try:
            pool, timeout = self._pool(), max(timeout, 0.01)
        except RuntimeError as error:  # the system starts no thread now, of which a pool needs two
            raise Weather(str(error)) from error
        borrowed = self._borrowed
        try:
            with borrowed.of(pool, timeout) if self._theirs is None else _as_ours(pool, timeout) as connection:
                if answer_in is None:
                    return use(connection, statement)
                seconds = answer_in
                return use(connection, lambda connection: watchdog.call(statement, connection, seconds))
        except PoolTimeout as error:
            if self._theirs is None and borrowed.has_lost(pool):
                self._replace(pool)
            raise trouble(error) from error
        except PoolClosed as error:
            if self._theirs is not None:
                raise SteveError("the pool given as db was closed: open it, or make a manager on another") from error
            raise trouble(error) from error  # ours, by stop() in another thread: the next try opens another
        except psycopg.Error as error:  # of the pool: no connection in time
            raise trouble(error) from error

    def open(self, notify: bool) -> None:
        """Open the pool of our own now: at the exit Python 3.12 starts no thread any more, and listeners may still call.

        Raises ValueError for a user's pool that cannot carry a started manager.
        """
        if self._theirs is not None:
            kept = self._kept(notify)
            if 0 < self._theirs.max_size <= len(kept):
                raise ValueError(
                    f"the pool is too small: a started manager keeps {len(kept)} connections of it ({', '.join(kept)}) "
                    f"and needs one for calls; give it max_size={len(kept) + 1} or more, not {self._theirs.max_size}"
                )
        self._pool()

    def _pool(self) -> AnyPool:
        notice_fork()
        if self._theirs is not None:
            if self._forked:
                raise ForkedProcessError(self._forked)
            return self._theirs
        with self._lock:
            forked, self._forked = self._forked, ""
            if self._ours is None or self._ours.closed:
                pooler = self._pooler  # the pool must not hold on to what closes it
                pool: AnyPool = ConnectionPool(
                    kwargs=connect_arguments(self._conninfo, self._timeout),
                    connection_class=self._connection_class(),
                    min_size=0,
                    max_size=POOL_MOST,
                    reconnect_timeout=POOL_GIVES_UP_SECONDS,
                    configure=lambda connection: _watched(connection, prepare_for_call, pooler),
                    name="steve",
                    num_workers=1,
                    open=True,
                )
                self._ours = pool
                # At the interpreter's exit too: a pool left open delays that by 20 seconds on Python 3.13.
                self._close_ours = weakref.finalize(self, _close, pool, os.getpid())
                self._borrowed = Borrowed()
            ours = self._ours
        if forked:
            logger.warning("%s", forked)  # without the lock: a handler of the application's may create a job
        return ours

    def begin_anew(self, started: bool) -> None:
        """In the child of a fork: no pool, and nothing of the parent's touched. `started`: the manager was, there."""
        leave_alone(self._ours)
        self._lock = threading.Lock()
        self._ours, self._close_ours = None, lambda: None
        if self._theirs is not None:
            self._forked = (
                "the pool given as db belongs to the process that made it, and this is a child that was forked off: "
                "make a pool and a manager here"
            )
        elif started:
            self._forked = (
                "the manager was started before this process was forked off: it runs in the parent, and here it is "
                "one that was never started"
            )

    def _replace(self, pool: AnyPool) -> None:
        """It counts connections as lent that nobody has: the next call opens another."""
        with self._lock:
            if self._ours is not pool:
                return
        logger.warning("the pool of connections lost some to threads that were interrupted while they waited: it is replaced")
        self.close()

    def close(self) -> None:
        """Close the pool of our own; the next call opens another."""
        with self._lock:
            close, self._close_ours, self._ours = self._close_ours, lambda: None, None
        close()

    # -- for the engine -------------------------------------------------------------------------------------------------

    def lines(self, notify: bool) -> Lines:
        """A connection for each loop, opened with its own back-off: a pool's would be half a minute late after an outage.

        Those of a user's pool are taken at once: later there may be none left. Raises Trouble.
        """
        lines = Lines(
            claim=self._line(prepare_for_loop),
            settle=self._line(prepare_for_loop),
            heartbeat=self._line(None),
            listen=self._line(None),
            scan=self._line(prepare_for_loop),
        )
        if self._listen_conninfo is not None:
            heartbeat, listen = self._direct_lines(self._listen_conninfo)
            lines = lines._replace(heartbeat=heartbeat, listen=listen)
        if self._theirs is not None:
            try:
                for name in self._kept(notify):
                    getattr(lines, name).connection()
            except BaseException:
                lines.close()
                raise
        return lines

    def _kept(self, notify: bool) -> list[str]:
        """Which lines of a started manager are always open on the one way that `db` is."""
        if self._listen_conninfo is not None:
            return ["claim", "settle"]
        return ["claim", "settle", "heartbeat", *(["listen"] if notify else [])]

    def _direct_lines(self, conninfo: str) -> tuple[Line, Line]:
        """For the heartbeat and the listener."""
        pooler = Pooler()  # not that of the others: this way is to lead around it

        def open() -> Connection:
            return connect(conninfo, self._timeout, lambda connection: _watched(connection, prepare_for_call, pooler))

        heartbeat, listen = (
            Line(open, Connection.close, pooler, watchdog.call, ANSWER_SECONDS, watchdog.cut) for _ in range(2)
        )
        return heartbeat, listen

    def _line(self, prepare_session: Callable[[Connection, Pooler], None] | None) -> Line:
        """`prepare_session`: None: as it comes, for what does not depend on it."""

        def prepare(connection: Connection) -> None:
            if prepare_session is not None:
                _watched(connection, prepare_session, self._pooler)
            elif self._pooler.found:
                connection.prepare_threshold = None

        pool = self._theirs
        if pool is None:
            return Line(
                lambda: connect(self._conninfo, self._timeout, prepare, self._way),
                Connection.close,
                self._pooler,
                watchdog.call,
                ANSWER_SECONDS,
                watchdog.cut,
            )

        def open() -> Connection:
            connection: Connection = pool.getconn(timeout=self._timeout)
            try:
                connection.set_autocommit(True)
                prepare(connection)
            except BaseException:
                close(connection)
                raise
            return connection

        def close(connection: Connection) -> None:
            # Closed, not returned as it is: its session is ours by now, and the pool opens a fresh one in its place.
            end_session(connection)
            pool.putconn(connection)

        return Line(open, close, self._pooler, watchdog.call, ANSWER_SECONDS, watchdog.cut)


def _close(pool: AnyPool, pid: int) -> None:
    if os.getpid() == pid:  # not in the child of a fork, which would end the parent's sessions
        pool.close()


def _watched(connection: Connection, prepare: Callable[[Connection, Pooler], None], pooler: Pooler) -> None:
    watchdog.call(lambda connection: prepare(connection, pooler), connection, ANSWER_SECONDS)


class Borrowed:
    """What is lent of a pool of our own. A thread that something interrupts while it waits for a connection (Ctrl-C in a shell,
    a time limit by a signal) stays in the pool's queue and is given one all the same, which nobody ever gives back."""

    def __init__(self) -> None:
        self.interrupted = False

    @contextmanager
    def of(self, pool: AnyPool, timeout: float) -> Iterator[Connection]:
        """A connection for one call: pool.connection() without its commit, which is for transactions."""
        try:
            connection: Connection = pool.getconn(timeout)
        except psycopg.Error:
            raise
        except BaseException:
            self.interrupted = True
            raise
        try:
            yield connection
        finally:
            pool.putconn(connection)

    def has_lost(self, pool: AnyPool) -> bool:
        """Whether that has happened, and the pool is full and has no connection left."""
        stats = pool.get_stats()
        return self.interrupted and stats["pool_size"] >= stats["pool_max"] and not stats["pool_available"]


@contextmanager
def _as_ours(pool: AnyPool, timeout: float) -> Iterator[Connection]:
    """A connection of the user's pool, for one call: in autocommit (one round trip, and no transaction left open on an error),
    and in UTF-8 (payloads may hold any text). As it was, afterwards."""
    with pool.connection(timeout) as connection:
        autocommit, encoding = connection.autocommit, connection.info.encoding
        connection.set_autocommit(True)
        if encoding != "utf-8":
            before = connection.pgconn.parameter_status(b"client_encoding") or b"UTF8"
            ask(connection, "select set_config('client_encoding', 'UTF8', false)")
        try:
            yield connection
        finally:
            if not connection.closed:
                if encoding != "utf-8":
                    ask(connection, "select set_config('client_encoding', %s, false)", [before.decode()])
                connection.set_autocommit(autocommit)
