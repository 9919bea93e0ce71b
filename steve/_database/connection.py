"""A connection of our own: how it is opened, which server it leads to, and which settings its session gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from steve._database.conninfo import connect_arguments
from steve._database.execute import FOR_CALLS, FOR_LOOPS, SET_FOR_LOOPS, execute, settings
from steve._database.failures import Connection, DatabaseFailure
from steve._database.watchdog import watchdog
from steve._runtime.log import logger

T = TypeVar("T")


class HostOrder:
    """Puts the host that answered last in front. Otherwise each connection would wait again for a dead host that is listed
    first."""

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None

    def apply(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The same arguments of psycopg.connect, with the host that answered last in front."""
        lists = {name: str(arguments[name]).split(",") for name in ("host", "hostaddr", "port") if arguments.get(name)}
        count = max(map(len, lists.values()), default=1)
        is_balanced = arguments.get("load_balance_hosts", "disable") != "disable"
        # Without target_session_attrs the order says which host is meant: a standby that answered once must not stay in front.
        any_will_do = arguments.get("target_session_attrs", "any") == "any"
        if self._last is None or count == 1 or is_balanced or any_will_do:
            return arguments
        places = list(range(count))
        ports = [port or "5432" for port in lists.get("port", [""])]  # one port may stand for all hosts
        hosts = lists.get("host", lists.get("hostaddr", [""] * count))
        known = [(hosts[place], ports[place % len(ports)]) for place in places]
        if self._last in known:
            places.insert(0, places.pop(known.index(self._last)))
        ordered = {name: ",".join(values[i] for i in places) for name, values in lists.items() if len(values) == count}
        return arguments | ordered

    def answered(self, connection: Connection) -> None:
        self._last = (connection.info.host or connection.info.hostaddr, str(connection.info.port))


class Route:
    """What is known about how a database is reached: whether through a connection pooler, and which server answers.

    A pooler such as PgBouncer in transaction mode may give every transaction of a connection another session: whatever is set,
    prepared, locked or listened for in a session would not be ours, and would stay behind.

    A pooler is noticed because a statement runs in another session than the one whose number came with the connection. By
    coincidence the two may be the same; but all connections to a database share one route, and it is enough that one of them
    notices.
    """

    def __init__(self) -> None:
        self.has_pooler = False
        self._server_started: float | None = None
        self.generation = 0
        """Raised when another server answers, or the same one after a restart. Connections of an earlier generation are given
        up: an address may move, and what was claimed on one server cannot be settled on another."""

    def met_server(self, started: float) -> None:
        """A connection leads to a server that started at this time, by the server's clock. From any thread: of two calls at
        once, one may be lost."""
        if started != self._server_started:
            self.generation += self._server_started is not None
            self._server_started = started

    def met_pooler(self) -> None:
        if not self.has_pooler:
            self.has_pooler = True
            logger.info("a connection pooler changes the session under a connection: statements are not prepared there")


def connect(
    conninfo: str,
    timeout: float,
    prepare: Callable[[Connection], None] = lambda connection: None,
    order: HostOrder | None = None,
) -> Connection:
    """Open a connection and prepare its session. Raises psycopg.Error."""
    order = order or HostOrder()
    try:
        connection = psycopg.connect(**order.apply(connect_arguments(conninfo, timeout)))
        order.answered(connection)
    except psycopg.Error as error:
        # psycopg's frames hold an attempt that timed out, and the error holds the frames, in a circle: its socket would stay
        # open until the garbage collector runs, which takes long in an idle process.
        error.__context__ = None
        raise error.with_traceback(None) from None
    try:
        prepare(connection)
    except psycopg.Error:
        connection.close()
        raise
    return connection


def prepare_for_call(connection: Connection, route: Route) -> None:
    """Give the session our settings: a database or a role may default to anything. Raises psycopg.Error."""
    _prepare(connection, route, FOR_CALLS)


def prepare_for_loop(connection: Connection, route: Route) -> None:
    """The same, with the settings that prepared statements need. Raises psycopg.Error."""
    _prepare(connection, route, FOR_LOOPS)


_PREPARE = SET_FOR_LOOPS.replace("value, true)", "value, false)") + "and pg_catalog.pg_backend_pid() = %(session)s"


def _prepare(connection: Connection, route: Route, values: dict[str, str]) -> None:
    # One statement, so that nothing is set in any other session than the one whose number came with the connection.
    if connection.pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII":
        # Otherwise PostgreSQL refuses to send a row whose bytes are not UTF-8.
        values = values | {"client_encoding": "SQL_ASCII"}
    parameters = settings(values) | {"session": connection.info.backend_pid}
    rows = [] if route.has_pooler else execute(connection, _PREPARE, parameters, prepare=False)
    if rows:
        route.met_server(rows[0][1])
    else:
        route.met_pooler()
        # The rest needs no session: UTF-8 is agreed on when connecting, callers get times of any zone in UTC, and statements
        # that would be prepared elsewhere bring their settings along (`statements/`).
        connection.prepare_threshold = None
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED


def use(connection: Connection, statement: Callable[[Connection], T], seconds: float | None) -> T:
    """Call `statement` with a connection of ours. The connection counts as lost if that takes more than so many seconds; None:
    never. Close the connection after a failure that the next try on it would repeat.

    25006, read-only: the server is a demoted primary, and it will not become a primary again while we hold on to it. 0A, 26 and
    42P05: the prepared statements do not fit their tables any more, are gone, or are not the ones that psycopg knows. 08: the
    connection is broken, or not even ours, as when somebody closed our socket and its number was given to another one.
    """
    try:
        return statement(connection) if seconds is None else watchdog.call(statement, connection, seconds)
    except DatabaseFailure as error:
        state = error.sqlstate or ""
        if state in ("25006", "42P05") or state[:2] in ("08", "0A", "26"):
            end_session(connection)
        raise


def end_session(connection: Connection) -> None:
    """Close a connection, even one of a user's pool with close_returns, whose close() would only give it back."""
    connection.pgconn.finish()
