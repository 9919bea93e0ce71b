"""Connections that are kept open: one for each loop of the engine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import psycopg
from psycopg import pq

from steve._database.connection import Route, use
from steve._database.failures import Connection, Transient, failure_of
from steve._database.watchdog import watchdog

T = TypeVar("T")


class Opener(Protocol):
    """Opens and closes a loop's connection."""

    def open(self) -> Connection:
        """Raises psycopg.Error."""

    def close(self, connection: Connection) -> None: ...


class LoopConnection:
    """Opened when it is first needed, dropped when it breaks, opened again by the next call.

    One thread at a time uses it (where threads take turns, a lock of the claimer's sees to that).
    """

    def __init__(self, *, opener: Opener, route: Route, answer_within: float) -> None:
        """`answer_within`: seconds, at least, after which a statement without an answer counts as lost."""
        self._opener = opener
        self._least_patience = self._patience = answer_within
        self.route = route
        self.answered_at: float | None = None
        """time.monotonic() of the last answer."""
        self._connection: Connection | None = None
        self._generation = 0

    def call(self, statement: Callable[[Connection], T]) -> T:
        """Call `statement` with the connection. Raises DatabaseFailure."""
        connection = self.connection()
        begun = time.monotonic()
        try:
            result = use(connection, statement, self._patience)
            self.answered_at = time.monotonic()
            self._patience = max(self._least_patience, 2 * (self.answered_at - begun))  # slow once, slow again
            return result
        except BaseException:
            if time.monotonic() - begun >= self._patience:
                self._patience *= 2  # perhaps it was slow and not dead: in the end it gets the time that it takes
            if connection.info.transaction_status != pq.TransactionStatus.IDLE:
                self.close()
            raise

    def connection(self) -> Connection:
        """The connection, opened if need be. Raises DatabaseFailure."""
        generation = self.route.generation  # before the connection is opened, which may raise it
        if self._connection is not None and self._generation != generation:
            self.close()
            self._generation = generation
            # As if the connection had broken: a loop that relies on its session, for a lock or for LISTEN, begins again.
            raise Transient("another server answers now, or the same one after a restart")
        if self._connection is None:
            self._generation = generation
            try:
                self._connection = self._opener.open()
            except psycopg.Error as error:
                raise failure_of(error) from error
        return self._connection

    def cut(self) -> None:
        """From another thread: break the connection, if a statement is under way."""
        if (connection := self._connection) is not None:
            watchdog.cut(connection)

    def is_open(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def session(self, connection: Connection) -> int:
        """The number of its session; 0: behind a pooler, where it has none of its own."""
        return 0 if self.route.has_pooler else connection.info.backend_pid

    def leave_to_parent(self) -> None:
        """In the child of a fork: let go of the socket, so that the server notices when the parent ends. The descriptor then
        leads to the null device and is not free, because the connection may still be used by mistake, or closed."""
        if self._connection is not None and not self._connection.closed:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, self._connection.fileno(), inheritable=False)
            os.close(nothing)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._opener.close(connection)


class LoopConnections(NamedTuple):
    """The connections of a started manager."""

    claim: LoopConnection
    settle: LoopConnection
    heartbeat: LoopConnection
    listen: LoopConnection
    scan: LoopConnection
    """Open only while there is something to ask beside the claims: slow full scans, rescues, doubts about what is held."""

    def answered_before(self, *, listens: bool) -> dict[str, float | None]:
        """For each connection that is always open: seconds since its last answer; None: it had none yet."""
        now = time.monotonic()
        names = ["claim", "settle", "heartbeat", *(["listen"] if listens else [])]
        answered = {name: getattr(self, name).answered_at for name in names}
        return {name: None if at is None else now - at for name, at in answered.items()}

    def leave_to_parent(self) -> None:
        for connection in self:
            connection.leave_to_parent()

    def close(self) -> None:
        for connection in self:
            connection.close()
