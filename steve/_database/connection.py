"""Opens a connection, gives its session our settings, and notices which server and which pooler it leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from steve._database.conninfo import connect_arguments
from steve._database.execute import FOR_CALLS, FOR_LOOPS, SET_FOR_LOOPS, execute, settings, with_lock_timeout
from steve._database.failures import Connection, DatabaseFailure
from steve._database.watchdog import watchdog
from steve._runtime.log import logger

T = TypeVar("T")


class HostOrder:
    """Puts the host that answered last at the front of the list. Otherwise each new connection would wait again for a dead host
    that is listed first."""

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None

    def apply(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """These arguments for psycopg.connect, with the host that answered last at the front."""
        lists = {name: str(arguments[name]).split(",") for name in ("host", "hostaddr", "port") if arguments.get(name)}
        count = max(map(len, lists.values()), default=1)
        is_balanced = arguments.get("load_balance_hosts", "disable") != "disable"
        # Without target_session_attrs the user's order matters: a standby that answered once must not stay at the front.
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
    """How a database is reached: whether a connection pooler is in between, and which server answers.

    A pooler such as PgBouncer in transaction mode may run each transaction of a connection in a different session. So settings,
    prepared statements, locks and LISTEN would apply to a session that is not ours, and would stay behind in it.

    A connection comes with the number of its session. If a statement runs in another session, there is a pooler. By chance the
    two may be the same, but all connections to a database share one Route, and it is enough that one of them notices.
    """

    def __init__(self) -> None:
        self.has_pooler = False
        self._server_started: float | None = None
        self.generation = 0
        """Grows when another server answers, or the same one after a restart. Connections of an earlier generation are given
        up, because a job that was claimed on one server cannot be settled on another."""

    def met_server(self, started: float) -> None:
        """Called when a connection leads to a server that started at this time, by the server's clock. Any thread may call it;
        of two calls at the same time, one may have no effect."""
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
        # The error refers to psycopg's frames, and these refer to the error and to the attempt to connect. Because of this
        # circle the socket would stay open until the garbage collector runs, which takes long in an idle process.
        error.__context__ = None
        raise error.with_traceback(None) from None
    try:
        prepare(connection)
    except psycopg.Error:
        connection.close()
        raise
    return connection


def prepare_for_call(connection: Connection, route: Route) -> None:
    """Give the session our settings, since a database or a role may have any defaults. Raises psycopg.Error."""
    _prepare(connection, route, FOR_CALLS)


def prepare_for_loop(connection: Connection, route: Route) -> None:
    """As `prepare_for_call`, with the settings that prepared statements need. Raises psycopg.Error."""
    _prepare(connection, route, FOR_LOOPS)


def prepare_for_settling(lock_patience: float) -> Callable[[Connection, Route], None]:
    """As `prepare_for_loop`, for a session that waits at most so many seconds for a lock."""
    return lambda connection, route: _prepare(connection, route, with_lock_timeout(FOR_LOOPS, lock_patience))


_PREPARE = SET_FOR_LOOPS.replace("value, true)", "value, false)") + "and pg_catalog.pg_backend_pid() = %(session)s"


def _prepare(connection: Connection, route: Route, values: dict[str, str]) -> None:
    # One statement checks the session's number and sets the values, so that it never changes another session behind a pooler.
    if connection.pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII":
        # With UTF8, PostgreSQL would refuse to send a row whose bytes are not UTF-8.
        values = values | {"client_encoding": "SQL_ASCII"}
    parameters = settings(values) | {"session": connection.info.backend_pid}
    rows = [] if route.has_pooler else execute(connection, _PREPARE, parameters, prepare=False)
    if rows:
        route.met_server(rows[0][1])
    else:
        route.met_pooler()
        # The other settings are not needed here: UTF-8 is agreed on when connecting, times of any zone become UTC for callers,
        # and statements that would be prepared elsewhere set their own settings (Script.rows).
        connection.prepare_threshold = None
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED


def use(connection: Connection, statement: Callable[[Connection], T], seconds: float | None) -> T:
    """Call `statement` with a connection of ours. The connection counts as lost if that takes longer than `seconds`; None:
    never. Close the connection after a failure that would come again on it:

    25006             read-only: the server is a demoted primary, and a new connection may lead to the new primary
    0A, 26, 42P05     the prepared statements no longer fit their tables, are gone, or are not those that psycopg knows
    08                the connection is broken, or its socket is not ours: it was closed, and its number given to another one
    """
    try:
        return statement(connection) if seconds is None else watchdog.call(statement, connection, seconds)
    except DatabaseFailure as error:
        state = error.sqlstate or ""
        if state in ("25006", "42P05") or state[:2] in ("08", "0A", "26"):
            end_session(connection)
        raise


def end_session(connection: Connection) -> None:
    """Close the connection and end its session. (In a user's pool with close_returns, close() would only give it back.)"""
    connection.pgconn.finish()
