"""Where jobs are drained: on connections of ours, where every statement is committed at once, or on a caller's connection, in
whatever transaction is open there.

In a transaction each run has a savepoint. If a statement of the handler failed and the handler did not roll back, PostgreSQL
takes nothing more from that transaction, so it goes back to the savepoint: what the run has written is gone then. Otherwise
what it has written stays, also if the handler raised. That is what a worker does, whose connection commits each statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NoReturn, Protocol, TypeVar

from steve._database.caller import Caller, caller_of, djangos_wrapper, psycopg_connection, raise_to_caller
from steve._database.connections import Connections
from steve._database.execute import atomic, is_alone, is_broken, is_in_transaction, savepoint
from steve._database.failures import Connection, DatabaseFailure, translated
from steve._engine.work.handlers import Handler
from steve._runtime.log import logger
from steve.errors import SteveError
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

    def raise_failure(self, failure: DatabaseFailure) -> NoReturn:
        """Raise what users are to see."""

    def commits(self) -> bool:
        """Whether each statement is committed at once, so that other processes see what is done here."""

    def within(self, call: Callable[[], T]) -> T:
        """Call what runs functions of the user's, so that the transaction can be used afterwards."""

    def handler(self, handler: Handler) -> Handler:
        """What is to be called in its place."""


class OwnPlace:
    """Connections of the callers' pool, a statement each."""

    def __init__(self, connections: Connections, explain: Callable[[DatabaseFailure], SteveError]) -> None:
        self._connections = connections
        self._explain = explain
        self.failure: DatabaseFailure | None = None
        self.transaction = connections.transaction
        self.reason = connections.reason

    def call(self, statement: Callable[[Connection], T]) -> T:
        try:
            return self._connections.call(statement)
        except DatabaseFailure as failure:
            self.failure = failure
            raise

    def raise_failure(self, failure: DatabaseFailure) -> NoReturn:
        raise self._explain(failure) from None

    def commits(self) -> bool:
        return True

    def within(self, call: Callable[[], T]) -> T:
        return call()

    def handler(self, handler: Handler) -> Handler:
        return handler


class CallersPlace:
    """A psycopg connection."""

    def __init__(self, connection: Callable[[], Connection], schema: str) -> None:
        """`connection()`: the connection, which may be another one after each run. `schema`: of the tables."""
        self._connection = connection
        self._schema = schema
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
        if not is_alone(theirs) and not is_in_transaction(theirs):
            with translated(theirs), atomic(theirs):
                pass  # begins the caller's transaction, which psycopg would otherwise commit below
        with theirs.transaction():
            yield theirs

    def reason(self, error: DatabaseFailure) -> str:
        return str(error)

    def raise_failure(self, failure: DatabaseFailure) -> NoReturn:
        raise_to_caller(failure, self._connection(), self._schema)

    def commits(self) -> bool:
        return is_alone(self._connection())

    def within(self, call: Callable[[], T]) -> T:
        theirs = self._connection()
        if is_alone(theirs):
            return call()
        theirs.execute("savepoint steve_run", prepare=False)
        try:
            return call()
        finally:
            if is_broken(theirs):
                _warn_of_rollback()
                theirs.execute("rollback to savepoint steve_run", prepare=False)
            if is_in_transaction(theirs):
                theirs.execute("release savepoint steve_run", prepare=False)

    def handler(self, handler: Handler) -> Handler:
        return handler


class DjangosPlace(CallersPlace):
    """A connection of Django's, a DatabaseWrapper. What Django knows of its transaction has to stay true, so the savepoints are
    made by it. A test's transaction is never committed, so what a handler has registered with `on_commit` is called when the
    handler returns, as in a worker, where its own transaction is committed by then."""

    def __init__(self, wrapper: Any, schema: str) -> None:
        def connection() -> Connection:
            return psycopg_connection(wrapper)

        connection()  # raises TypeError
        super().__init__(connection, schema)
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
            if wrapper.needs_rollback or is_broken(self._connection()):
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
        wrapper = self._wrapper
        while len(wrapper.run_on_commit) > waiting and not wrapper.needs_rollback:  # a call may replace the list
            _, function, *robust = wrapper.run_on_commit.pop(waiting)
            try:
                function()
            except Exception as error:
                if not (robust and robust[0]):
                    raise
                logger.error("what was registered with on_commit(robust=True) raised: %r", function, exc_info=error)


def place_of(connection: object, schema: str) -> CallersPlace:
    """Raises TypeError if `connection` is nothing that leads to a connection of psycopg 3."""
    wrapper = djangos_wrapper(connection)
    if wrapper is not None:
        return DjangosPlace(wrapper, schema)
    theirs = psycopg_connection(connection)
    caller = caller_of(connection)
    if isinstance(caller, Caller):
        caller.send("select 1", {})  # SQLAlchemy begins its transaction with its first statement, and knows of no others
    return CallersPlace(lambda: theirs, schema)


def _warn_of_rollback() -> None:
    logger.warning(
        "a statement of the handler failed in the transaction of the drain, so all that this run has written is rolled back; "
        "a worker would have kept what it had committed before"
    )
