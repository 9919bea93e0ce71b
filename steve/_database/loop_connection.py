"""LoopConnection: a connection that one loop of the engine keeps. LoopConnections: those of a started manager.
ClaimConnections: those of its pools.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import psycopg
from psycopg import pq

from steve._database.connection import Route, use
from steve._database.failures import Connection, Transient, failure_of
from steve._database.watchdog import watchdog

T = TypeVar("T")


class CallPort(Protocol):
    """A connection to send statements on."""

    def call(self, statement: Callable[[Connection], T]) -> T:
        """Call `statement` with the connection. Raises DatabaseFailure."""


class Opener(Protocol):
    """Opens and closes a loop's connection."""

    def open(self) -> Connection:
        """Raises psycopg.Error."""

    def close(self, connection: Connection) -> None: ...


class LoopConnection:
    """A connection that is opened when it is first needed, closed when it breaks, and opened again by the next call.

    One thread at a time uses it. (Workers take turns with the claim's connection; a lock of the claimer's ensures that.)
    """

    def __init__(self, *, opener: Opener, route: Route, answer_within: float) -> None:
        """`answer_within`: a statement without an answer counts as lost after this many seconds, or more if the loop is
        slow."""
        self._opener = opener
        self._least_patience = self._patience = answer_within
        self.route = route
        self.answered_at: float | None = None
        """When the database last answered, by time.monotonic()."""
        self._connection: Connection | None = None
        self._generation = 0

    def call(self, statement: Callable[[Connection], T]) -> T:
        """Call `statement` with the connection. Raises DatabaseFailure."""
        connection = self.connection()
        begun = time.monotonic()
        try:
            result = use(connection, statement, self._patience)
            self.answered_at = time.monotonic()
            self._patience = max(self._least_patience, 2 * (self.answered_at - begun))  # a slow statement is often slow again
            return result
        except BaseException:
            if time.monotonic() - begun >= self._patience:
                self._patience *= 2  # the server may be slow, not dead: in the end the statement gets the time it needs
            if connection.info.transaction_status != pq.TransactionStatus.IDLE:
                self.close()
            raise

    def connection(self) -> Connection:
        """The connection, which is opened if it is not open. Raises DatabaseFailure."""
        generation = self.route.generation  # read before the connection is opened, which may change it
        if self._connection is not None and self._generation != generation:
            self.close()
            self._generation = generation
            # Raised as for a broken connection, so that a loop with a lock or a LISTEN in its session begins again.
            raise Transient("another server answers now, or the same one after a restart")
        if self._connection is None:
            self._generation = generation
            try:
                self._connection = self._opener.open()
            except psycopg.Error as error:
                raise failure_of(error) from error
        return self._connection

    def cut(self) -> None:
        """Break the connection, if a statement is under way. Other threads call this."""
        if (connection := self._connection) is not None:
            watchdog.cut(connection)

    def is_open(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def session(self, connection: Connection) -> int:
        """The number of its session. 0 behind a pooler, where a connection has no session of its own."""
        return 0 if self.route.has_pooler else connection.info.backend_pid

    def leave_to_parent(self) -> None:
        """In the child of a fork: close the child's copy of the socket, so that the server notices when the parent ends.

        The descriptor then leads to the null device. It stays open, so that no harm is done if the child uses or closes the
        connection by mistake.
        """
        if self._connection is not None and not self._connection.closed:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, self._connection.fileno(), inheritable=False)
            os.close(nothing)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._opener.close(connection)


class ClaimConnections:
    """A connection for each pool, which is open as long as the pool exists. While there is no pool, the first one stays open
    for the engine."""

    def __init__(self, *, first: LoopConnection, make: Callable[[], LoopConnection]) -> None:
        self.first = first
        self._make = make
        # Protects the two below; nothing is called under it.
        self._lock = threading.Lock()
        self._taken: tuple[LoopConnection, ...] = ()
        self._spare: list[LoopConnection] = []
        self._is_closed = False

    def prepare(self, connections: int) -> None:
        """Open so many, so that the next calls of `take` need not. Raises DatabaseFailure."""
        for _ in range(connections - 1):
            connection = self._make()
            connection.connection()
            with self._lock:
                self._spare.append(connection)

    def take(self) -> LoopConnection:
        """A connection that nobody else has. It may have to be opened."""
        with self._lock:
            if self.first not in self._taken:
                connection = self.first
            else:
                connection = self._spare.pop() if self._spare else self._make()
            self._taken = (*self._taken, connection)
        return connection

    def give_back(self, connection: LoopConnection) -> None:
        if connection is not self.first or len(self._taken) > 1 or self._is_closed:
            connection.close()
        with self._lock:
            self._taken = tuple(other for other in self._taken if other is not connection)

    def all(self) -> list[LoopConnection]:
        """Those that may be open. From any thread."""
        return [self.first, *(other for other in self._taken if other is not self.first), *self._spare]

    def answered_at(self) -> float | None:
        """When the database last answered on one of those that pools have, by time.monotonic(): the one that has waited for
        longest. None: one of them had no answer yet."""
        times = [connection.answered_at for connection in self._taken or (self.first,)]
        return None if None in times else min(at for at in times if at is not None)

    def close(self) -> None:
        self._is_closed = True  # first: what is given back after this is closed there
        for connection in self.all():
            connection.close()


class LoopConnections(NamedTuple):
    """The connections of a started manager, except those of the pools beyond the first: see ClaimConnections."""

    claim: LoopConnection
    settle: LoopConnection
    heartbeat: LoopConnection
    listen: LoopConnection
    scan: LoopConnection
    """Open only while the scanner needs it: for slow full scans, rescues, and claims in doubt."""

    def answered_before(self, *, claims: float | None, listens: bool) -> dict[str, float | None]:
        """Seconds since the last answer, for each connection that is always open. None: it had no answer yet. `claims`: when
        those for claims were last answered, by time.monotonic()."""
        now = time.monotonic()
        names = ["settle", "heartbeat", *(["listen"] if listens else [])]
        answered = {"claim": claims} | {name: getattr(self, name).answered_at for name in names}
        return {name: None if at is None else now - at for name, at in answered.items()}

    def leave_to_parent(self) -> None:
        for connection in self:
            connection.leave_to_parent()

    def close(self) -> None:
        for connection in self:
            connection.close()
