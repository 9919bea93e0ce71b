"""Where jobs are drained: on connections of ours, where every statement is committed at once, or on a caller's connection, in
whatever transaction is open there.

In a transaction each run has a savepoint. If a statement of the handler failed and the handler did not roll back, PostgreSQL
takes nothing more from that transaction, so it goes back to the savepoint: what the run has written is gone then. Otherwise
what it has written stays, also if the handler raised. That is what a worker does, whose connection commits each statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from steve._database.connections import Connections
from steve._database.execute import atomic, is_alone, savepoint
from steve._database.failures import Connection, DatabaseFailure, translated
from steve._engine.work.handlers import Handler
from steve._runtime.log import logger
from steve.job import Job

T = TypeVar("T")


class ConnectionLost(BaseException):
    """The caller's connection is closed, so nothing more can be done. No Exception: the settler would try again."""

    def __init__(self, failure: DatabaseFailure) -> None:
        super().__init__(failure)
        self.failure = failure


class Place(Protocol):
    """A connection as the parts of the engine ask for it: see CallPort and TransactionsPort."""

    failure: DatabaseFailure | None
    """The last one."""

    def call(self, statement: Callable[[Connection], T]) -> T: ...

    def transaction(self, *, at_once: int) -> AbstractContextManager[Connection]: ...

    def reason(self, error: DatabaseFailure) -> str: ...

    def commits(self) -> bool:
        """Whether each statement is committed at once, so that other processes see what is done here."""

    def within(self, call: Callable[[], T]) -> T:
        """Call what runs functions of the user's, so that the transaction can be used afterwards."""

    def handler(self, handler: Handler) -> Handler:
        """What is to be called in its place."""


class OwnPlace:
    """Connections of the callers' pool, a statement each."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.failure: DatabaseFailure | None = None
        self.transaction = connections.transaction
        self.reason = connections.reason

    def call(self, statement: Callable[[Connection], T]) -> T:
        try:
            return self._connections.call(statement)
        except DatabaseFailure as failure:
            self.failure = failure
            raise

    def commits(self) -> bool:
        return True

    def within(self, call: Callable[[], T]) -> T:
        return call()

    def handler(self, handler: Handler) -> Handler:
        return handler


class CallersPlace:
    """A psycopg connection."""

    def __init__(self, connection: Callable[[], Connection]) -> None:
        """`connection()`: the connection, which may be another one after each run."""
        self._connection = connection
        self.failure: DatabaseFailure | None = None

    def call(self, statement: Callable[[Connection], T]) -> T:
        theirs = self._connection()
        try:
            with savepoint(theirs):
                return statement(theirs)
        except DatabaseFailure as failure:
            self.failure = failure
            if theirs.closed:
                raise ConnectionLost(failure) from failure
            raise

    @contextmanager
    def transaction(self, *, at_once: int) -> Iterator[Connection]:
        theirs = self._connection()
        if not theirs.autocommit and theirs.info.transaction_status == TransactionStatus.IDLE:
            with translated(theirs), atomic(theirs):
                pass  # begins the caller's transaction, which psycopg would otherwise commit below
        with theirs.transaction():
            yield theirs

    def reason(self, error: DatabaseFailure) -> str:
        return str(error)

    def commits(self) -> bool:
        return is_alone(self._connection())

    def within(self, call: Callable[[], T]) -> T:
        theirs = self._connection()
        if is_alone(theirs):
            return call()
        theirs.execute("savepoint steve_run")
        try:
            return call()
        finally:
            status = theirs.info.transaction_status
            if status == TransactionStatus.INERROR:
                _warn_of_rollback()
                theirs.execute("rollback to savepoint steve_run")
            if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                theirs.execute("release savepoint steve_run")

    def handler(self, handler: Handler) -> Handler:
        return handler


class DjangosPlace(CallersPlace):
    """A connection of Django's, a DatabaseWrapper. What Django knows of its transaction has to stay true, so the savepoints are
    made by it. A test's transaction is never committed, so what a handler has registered with `on_commit` is called when the
    handler returns, as in a worker, where its own transaction is committed by then."""

    def __init__(self, wrapper: Any) -> None:
        def connection() -> Connection:
            wrapper.ensure_connection()
            return driver_connection(wrapper.connection, wrapper)

        super().__init__(connection)
        self._wrapper = wrapper

    def within(self, call: Callable[[], T]) -> T:
        wrapper = self._wrapper
        if not wrapper.in_atomic_block:
            return super().within(call)
        waiting = len(wrapper.run_on_commit)
        name = wrapper.savepoint()
        try:
            return call()
        finally:
            if wrapper.needs_rollback or self._connection().info.transaction_status == TransactionStatus.INERROR:
                _warn_of_rollback()
                wrapper.set_rollback(False)  # before the rollback, which Django would refuse
                wrapper.savepoint_rollback(name)
                del wrapper.run_on_commit[waiting:]
            wrapper.savepoint_commit(name)

    def handler(self, handler: Handler) -> Handler:
        if not self._wrapper.in_atomic_block:
            return handler

        def call(job: Job) -> Any:
            waiting = len(self._wrapper.run_on_commit)
            try:
                return handler(job)
            finally:  # also if it raised: its inner transactions that were rolled back have taken theirs along
                self._call_after_commit(waiting)

        return call

    def _call_after_commit(self, waiting: int) -> None:
        callbacks = self._wrapper.run_on_commit
        while len(callbacks) > waiting and not self._wrapper.needs_rollback:
            _, function, *robust = callbacks.pop(waiting)
            try:
                function()
            except Exception as error:
                if not (robust and robust[0]):
                    raise
                logger.error("what was registered with on_commit(robust=True) raised: %r", function, exc_info=error)


def driver_connection(found: object, given: object) -> Connection:
    """Raises TypeError if the connection that lies under the caller's is not one of psycopg 3."""
    if isinstance(found, psycopg.Connection):
        return found
    raise TypeError(
        f"connection: jobs are drained on a connection of psycopg 3, and under this {_kind(given)} lies a {_kind(found)}: "
        "use psycopg 3 for the tests, or leave `connection` out and commit"
    )


def place_of(connection: object) -> CallersPlace:
    """Raises TypeError if `connection` is nothing that leads to a connection of psycopg 3."""
    if isinstance(connection, psycopg.Cursor | psycopg.ServerCursor):
        connection = connection.connection
    if isinstance(connection, psycopg.Connection):
        return CallersPlace(lambda: connection)
    made_by = {one.__module__.partition(".")[0] for one in connection.__class__.__mro__}
    given: Any = connection
    if "django" in made_by and getattr(given, "vendor", None) == "postgresql":
        return DjangosPlace(given)
    if "sqlalchemy" in made_by:
        # A Session and a scoped_session have a method `connection()`, which begins their transaction. Of a Connection it is a
        # property, the one that lies under it.
        found = given.connection() if callable(given.connection) else given
        if not found.in_transaction():
            found.begin()
        theirs = driver_connection(found.connection.driver_connection, given)
        return CallersPlace(lambda: theirs)
    raise TypeError(
        "connection must be a connection or cursor of psycopg 3, Django's connection, or a Session or Connection of "
        f"SQLAlchemy, not {_kind(connection)}"
    )


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


def _warn_of_rollback() -> None:
    logger.warning(
        "a statement of the handler failed in the transaction of the drain, so all that this run has written is rolled back; "
        "a worker would have kept what it had committed before"
    )
