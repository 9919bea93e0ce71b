"""Connections: out of whatever the caller holds, and one kept open for each loop of the engine.

`_pool` resolves a manager's `db` here and makes the lines; `JobManager` resolves the `connection=` of create.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ._ask import FOR_CALLS, FOR_LOOPS, SET_FOR_LOOPS, ask, settings, trouble
from ._log import logger
from .errors import Trouble, Weather

T = TypeVar("T")
Connection = psycopg.Connection[Any]

ENVIRONMENT = "STEVE_DATABASE_URL"
CONNECT_SECONDS = 10
NOTICING = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A dead link is noticed in about 11 s, by who waits (keepalives) and by who sends (the timeout, in milliseconds); left to
itself Linux takes two hours and a quarter of one."""


def conninfo_of(db: object) -> str:
    """The conninfo of a string, of an open connection (nothing else of it is kept), or of the environment (None)."""
    if isinstance(db, psycopg.Connection):
        if db.closed:
            raise ValueError("db is a closed connection: pass an open one, its conninfo or a pool")
        return make_conninfo(db.info.dsn, password=db.info.password or None)
    if db is None:
        db = os.environ.get(ENVIRONMENT, "")  # "": libpq reads its PG* variables when it connects
    if not isinstance(db, str):
        raise TypeError(
            "db must be a conninfo string, an open psycopg_pool.ConnectionPool, an open psycopg.Connection or None, "
            f"not {_kind(db)}: {_psycopg3_or('steve is synchronous and takes no async connection or pool', db)}"
        )
    return _settled(_sound("db", db))


def listen_conninfo_of(listen_db: object) -> str | None:
    """The conninfo of a string; None: the listener takes the way of all others."""
    if listen_db is not None and not isinstance(listen_db, str):
        raise TypeError(f"listen_db must be a conninfo string or None, not {type(listen_db).__name__}")
    return None if listen_db is None else _settled(_sound("listen_db", listen_db))


def _sound(keyword: str, conninfo: str) -> str:
    try:
        conninfo_to_dict(conninfo)
        # libpq would read no further than a NUL, and take what follows a stray @ or / in a password for a host or a database
        sound = "\x00" not in conninfo and not _has_stray_at(conninfo)
    except (psycopg.ProgrammingError, UnicodeEncodeError):
        sound = False
    if not sound:  # not chained: libpq's message repeats the text, password and all
        raise ValueError(f"{keyword} is not a valid conninfo (not shown, it may hold a password): {_mistake(conninfo)}")
    return conninfo


def _settled(conninfo: str) -> str:
    """With what the environment adds to it now: where a manager leads is settled when it is made, whatever becomes of the
    environment. A service's parameters stand in a file, behind the conninfo and before the environment: then it stays as it
    is."""
    given: dict[str, Any] = conninfo_to_dict(conninfo)
    options = pq.Conninfo.get_defaults()
    added = {
        option.keyword.decode(): os.fsdecode(option.val)
        for option in options
        if option.val is not None and option.envvar is not None and option.envvar.decode() in os.environ
    }
    return conninfo if "service" in given or "service" in added else make_conninfo(**(added | given))


_OF_OTHERS = (
    "schema", "currentSchema", "search_path", "pool_size", "max_overflow", "pool_timeout", "pgbouncer", "connection_limit",
    "prepared_statements", "statement_cache_size", "charset", "serverVersion", "conn_max_age", "ssl",
)  # fmt: skip
"""Parameters that other libraries take in a URL."""


def _mistake(conninfo: str) -> str:
    """What is wrong with it, as far as that can be said without showing any of it but words that we know."""
    if driver := re.match(r"postgres(?:ql)?(\+[a-z0-9_]+)://", conninfo):
        return f"it is a URL of SQLAlchemy's: leave out {driver[1]!r}, libpq knows postgresql:// only"
    query = conninfo.partition("?")[2] if "://" in conninfo else conninfo
    for name in _OF_OTHERS:
        if re.search(rf"(?:^|[?&\s]){name}\s*=", query):
            hint = "; name the schema of the tables as JobManager(..., schema=...)" if name in _OF_OTHERS[:3] else ""
            return f"libpq knows no parameter {name!r}: leave it out{hint}"
    return "write postgresql://user@host/database or key=value pairs, special characters in a URL percent-encoded"


def _has_stray_at(conninfo: str) -> bool:
    """Whether a URL has an @ but that between the password and the host: one in a password that was to be percent-encoded.

    What libpq then takes for the host is a part of the password, and its messages name hosts.
    """
    authority, _, rest = conninfo.partition("://")[2].partition("/")
    return authority.count("@") > 1 or "@" in rest.partition("?")[0]


def caller_connection(connection: object) -> Connection:
    """The psycopg connection behind what was passed as `connection=`."""
    if isinstance(connection, psycopg.Cursor | psycopg.ServerCursor):
        return connection.connection
    if isinstance(connection, psycopg.Connection):
        return connection
    places = "in Django pass django.db.connection.connection, in SQLAlchemy connection.connection.driver_connection"
    raise TypeError(
        "connection must be a psycopg.Connection or psycopg.Cursor, "
        f"not {_kind(connection)}: {_psycopg3_or(places, connection)}"
    )


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


def _psycopg3_or(otherwise: str, value: object) -> str:
    """`psycopg2` is another library than psycopg 3, whose package is called `psycopg`."""
    return (
        "steve needs psycopg 3 (the package psycopg), which can be installed beside it"
        if "psycopg2" in _kind(value)
        else otherwise
    )


def connect_arguments(conninfo: str, timeout: float) -> dict[str, Any]:
    """How to connect: the conninfo, with what the user left unset. `timeout`: who waits for it gives up after so long."""
    given = conninfo_to_dict(conninfo)
    # libpq gives each host so long, one after the other, and none less than two seconds.
    hosts = str(given.get("host") or given.get("hostaddr") or "").count(",") + 1
    share = math.ceil(timeout) if hosts == 1 else max(2, math.floor(timeout / hosts))
    ours = {"fallback_application_name": "steve", "connect_timeout": min(CONNECT_SECONDS, share)}
    if "service" not in given:  # what that sets cannot be asked: it stands in a file, and libpq puts it behind the conninfo
        ours |= NOTICING
    unset = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.val is None}  # by the environment
    ours = {name: value for name, value in ours.items() if name in unset}
    # text travels as UTF-8 whatever the database's encoding; every statement is a transaction of its own
    return ours | given | {"client_encoding": "utf8", "autocommit": True}


class Way:
    """Which of several hosts answered last: it is asked first the next time. Else each connection would wait anew for one that
    is dead and listed first."""

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None

    def order(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The same arguments of psycopg.connect, the host that answered last in front."""
        lists = {name: str(arguments[name]).split(",") for name in ("host", "hostaddr", "port") if arguments.get(name)}
        count = max(map(len, lists.values()), default=1)
        balanced = arguments.get("load_balance_hosts", "disable") != "disable"
        # Without it the order says which host is meant: a standby that answered once is not to come first for ever.
        any_will_do = arguments.get("target_session_attrs", "any") == "any"
        if self._last is None or count == 1 or balanced or any_will_do:
            return arguments
        places = list(range(count))
        # One port may stand for all hosts.
        ports = [port or "5432" for port in lists.get("port", [""])]
        at = [(lists.get("host", lists.get("hostaddr", [""] * count))[i], ports[i % len(ports)]) for i in places]
        if self._last in at:
            places.insert(0, places.pop(at.index(self._last)))
        ordered = {name: ",".join(values[i] for i in places) for name, values in lists.items() if len(values) == count}
        return arguments | ordered

    def led_to(self, connection: Connection) -> None:
        self._last = (connection.info.host or connection.info.hostaddr, str(connection.info.port))


def connect(
    conninfo: str,
    timeout: float,
    prepare: Callable[[Connection], None] = lambda connection: None,
    way: Way | None = None,
) -> Connection:
    """A new connection of our own, its session prepared for what it is for. Raises psycopg.Error."""
    way = way or Way()
    try:
        connection = psycopg.connect(**way.order(connect_arguments(conninfo, timeout)))
        way.led_to(connection)
    except psycopg.Error as error:
        # An attempt that timed out is held by psycopg's frames, and these by the error, in a circle: its socket would stay open
        # until the garbage collector comes by, which in an idle process takes long.
        error.__context__ = None
        raise error.with_traceback(None) from None
    try:
        prepare(connection)
    except psycopg.Error:
        connection.close()
        raise
    return connection


class Pooler:
    """Whether something between us and PostgreSQL, PgBouncer in transaction mode, say, may give every transaction of a
    connection another session: nothing set, prepared, locked or listened for in it would be ours, and all would stay behind.

    One for all connections to a database: what any of them met all know. So it does not matter that a pooler may tell one of
    them the number of the very session that its first statement gets.
    """

    def __init__(self) -> None:
        self.found = False
        self._server_started: float | None = None
        self.generation = 0
        """Raised when the way leads to another server, or to the same one started anew. Connections of an earlier one are given
        up: an address may move, and what is claimed on one server cannot be settled on the other."""

    def met_server(self, started: float) -> None:
        """When the server started that a connection leads to, by its clock. From any thread: of two at once one may count."""
        if started != self._server_started:
            self.generation += self._server_started is not None
            self._server_started = started

    def met(self) -> None:
        if not self.found:
            self.found = True
            logger.info("a connection pooler changes the session under a connection: statements are not prepared there")


def prepare_for_call(connection: Connection, pooler: Pooler) -> None:
    """Make the session's settings ours: a database or a role may default to anything. Raises psycopg.Error."""
    _prepare(connection, pooler, FOR_CALLS)


def prepare_for_loop(connection: Connection, pooler: Pooler) -> None:
    """The same for a connection that prepares its statements, and what those need. Raises psycopg.Error."""
    _prepare(connection, pooler, FOR_LOOPS)


_PREPARE = SET_FOR_LOOPS.replace("value, true)", "value, false)") + "and pg_catalog.pg_backend_pid() = %(session)s"


def _prepare(connection: Connection, pooler: Pooler, values: dict[str, str]) -> None:
    # One statement, that sets nothing in a session that is not the one which was promised when the connection was opened.
    if connection.pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII":
        values = values | {"client_encoding": "SQL_ASCII"}  # else PostgreSQL refuses to send a row whose bytes are no UTF-8
    parameters = settings(values) | {"session": connection.info.backend_pid}
    rows = [] if pooler.found else ask(connection, _PREPARE, parameters, prepare=False)
    if rows:
        pooler.met_server(rows[0][1])
    else:
        pooler.met()
        # What is left needs no session: UTF-8 is agreed on when connecting, callers get times of any zone in UTC, and
        # the statements that are prepared elsewhere bring their settings along (`Store`).
        connection.prepare_threshold = None
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED


def use(connection: Connection, statement: Callable[[Connection], T]) -> T:
    """What `statement` makes of a connection of ours, which is closed where trying again on it would end the same way.

    Read-only (25006): a demoted primary, which will not become one again while we hold on to it. Prepared statements that do
    not fit their tables any more (0A), are gone (26), or are others than we know of (42P05), as when somebody closed our socket
    and its number was given to another connection's (08): those of another connection do.
    """
    try:
        return statement(connection)
    except Trouble as error:
        state = error.sqlstate or ""
        if state in ("25006", "42P05") or state[:2] in ("08", "0A", "26"):
            end_session(connection)
        raise


def end_session(connection: Connection) -> None:
    """Close a connection that may be of a user's pool, whose close_returns would make of close() a giving back."""
    connection.pgconn.finish()


class Line:
    """One connection kept by one loop: opened when first needed, dropped when it broke, opened again at the next call.

    Used by one thread at a time (the claim lock sees to that where threads take turns).
    """

    def __init__(
        self,
        open: Callable[[], Connection],
        close: Callable[[Connection], None],
        pooler: Pooler,
        watched: Callable[[Callable[[Connection], Any], Connection, float], Any],
        patience: float,
        cut: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        """`watched`: has a statement on a connection answered within so many seconds, or the connection broken; `patience`:
        that is how many; `cut` breaks it now, if a statement is under way."""
        self._open = open
        self._close = close
        self._watched = watched
        self._cut = cut
        self._least_patience = self._patience = patience
        self.pooler = pooler
        self.answered_at: float | None = None
        """time.monotonic() of the last statement that had its answer."""
        self._connection: Connection | None = None
        self._generation = 0

    def call(self, statement: Callable[[Connection], T]) -> T:
        """What `statement` makes of the connection. Raises `Trouble`."""
        connection = self.connection()
        begun = time.monotonic()
        try:
            result: T = use(connection, lambda connection: self._watched(statement, connection, self._patience))
            self.answered_at = time.monotonic()
            self._patience = max(self._least_patience, 2 * (self.answered_at - begun))  # what is slow is so the next time too
            return result
        except BaseException:
            if time.monotonic() - begun >= self._patience:
                self._patience *= 2  # it may have been slow, and not dead: in the end it gets the time that it takes
            if connection.info.transaction_status != pq.TransactionStatus.IDLE:
                self.close()
            raise

    def connection(self) -> Connection:
        """The connection, opened if need be. Raises `Trouble`."""
        generation = self.pooler.generation  # before the connection is opened, which may raise it
        if self._connection is not None and self._generation != generation:
            self.close()
            self._generation = generation
            # As a connection that broke: who keeps something of the session, a lock or what it listens to, begins anew.
            raise Weather("the way leads to another server now")
        if self._connection is None:
            self._generation = generation
            try:
                self._connection = self._open()
            except psycopg.Error as error:
                raise trouble(error) from error
        return self._connection

    def cut(self) -> None:
        """From another thread: a statement that is under way gets a broken connection."""
        if (connection := self._connection) is not None:
            self._cut(connection)

    def is_open(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def session(self, connection: Connection) -> int:
        """The number of its session; 0: behind a pooler, where it has none of its own."""
        return 0 if self.pooler.found else connection.info.backend_pid

    def leave_to_parent(self) -> None:
        """In the child of a fork: let go of the socket, by which the server notices the parent's end. Its number stays taken,
        by nothing: the connection may still be used by mistake, or closed."""
        if self._connection is not None and not self._connection.closed:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, self._connection.fileno(), inheritable=False)
            os.close(nothing)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._close(connection)
