"""What users may pass as `connection`, and how a statement is sent on it. Nothing else looks at such an object.

It is recognised by the modules of its classes, so that no driver and no framework is imported here. The classes are those that
`__class__` names: the proxies of ddtrace, OpenTelemetry and wrapt name the class of what they stand for.

A connection of psycopg 3 is used as it is, with steve's own cursor. Everything else becomes a `Caller`, which sends the
statement as its users send theirs: through Django's cursor, whose wrappers and logs then see it; through the Session or
Connection of SQLAlchemy, which begins its transaction; through a cursor of psycopg2. The statements come from portable.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, NoReturn

import psycopg

from steve._database.failures import Connection, DatabaseFailure, failure_by_state
from steve._database.portable import Portable, as_text, row_of
from steve.errors import SchemaError

MISSING = {"3F000", "42P01", "42703"}
"""The SQLSTATEs of a statement whose schema, table or column is not there."""


class Bound(NamedTuple):
    """What users pass as `connection` together with `bind`."""

    connection: object
    bind: object


def bound(connection: object, bind: object) -> object:
    """What `caller_of` takes. `bind`: the engine on which a Session is to send the statement; None: it decides by itself."""
    return connection if bind is None else Bound(connection, bind)


class Caller:
    """A connection that is not psycopg 3's. It raises the errors of its driver as DatabaseFailure, chained to them."""

    style: ClassVar[str] = "pyformat"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, statement: Portable, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        texts = {name: as_text(parameters[name]) for name in statement.names}
        return [row_of(_first(row)) for row in self.send(statement.sql, texts)]

    def send(self, sql: str, parameters: dict[str, str | None]) -> list[Any]:
        """The rows of the statement; none if it returns nothing."""
        try:
            return self._execute(sql, parameters)
        except Exception as error:
            if (state := sqlstate_of(error)) is None:
                raise
            raise failure_by_state(state) from error

    def is_alone(self) -> bool:
        """Whether the next statement is a transaction of its own."""
        raise NotImplementedError

    def place(self) -> str:
        """Where it leads, for the message of an error."""
        raise NotImplementedError

    def _execute(self, sql: str, parameters: dict[str, str | None]) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """A transaction; within a transaction, a savepoint."""
        begin, end, undo = (
            (["begin"], ["commit"], ["rollback"])
            if self.is_alone()
            else (["savepoint steve"], ["release savepoint steve"], ["rollback to savepoint steve", "release savepoint steve"])
        )
        self._send_all(begin)
        try:
            yield
        except BaseException:
            self._send_all(undo)
            raise
        self._send_all(end)

    def _send_all(self, statements: list[str]) -> None:
        for statement in statements:
            self.send(statement, {})


class _Django(Caller):
    """Django's connection: the proxy `django.db.connection`, or a DatabaseWrapper."""

    def is_alone(self) -> bool:
        return bool(self._connection.get_autocommit())

    def place(self) -> str:
        return f"the Django database {self._connection.alias!r} ({self._connection.settings_dict.get('NAME')!r})"


class _Psycopg2(Caller):
    def is_alone(self) -> bool:
        is_idle = self._connection.get_transaction_status() == psycopg.pq.TransactionStatus.IDLE
        return bool(self._connection.autocommit) and is_idle

    def place(self) -> str:
        return f"database {self._connection.info.dbname!r}"


class _SQLAlchemy(Caller):
    """A Session, a scoped_session or a Connection."""

    style = "named"

    def __init__(self, connection: Any, more: dict[str, Any]) -> None:
        """`more`: arguments of a Session's `execute`."""
        super().__init__(connection)
        self._more = more

    def _execute(self, sql: str, parameters: dict[str, str | None]) -> list[Any]:
        result = self._connection.execute(_clause(sql), parameters, **self._more)
        return list(result.fetchall()) if result.returns_rows else []

    def is_alone(self) -> bool:
        return bool(getattr(self._on().connection.dbapi_connection, "autocommit", False))

    def place(self) -> str:
        return f"database {self._on().engine.url.database!r}"

    def _on(self) -> Any:
        """SQLAlchemy's Connection."""
        is_session = hasattr(self._connection, "get_bind")
        return self._connection.connection(**self._more) if is_session else self._connection


AnyConnection = Connection | Caller

_CURSORS = (psycopg.Cursor, psycopg.ServerCursor)
_PSYCOPG = (psycopg.Connection, *_CURSORS)


def caller_of(connection: object) -> AnyConnection | None:
    """What the user's argument `connection` is. None: nothing was passed. Raises TypeError."""
    if connection is None:
        return None
    if isinstance(connection, _PSYCOPG):
        return _psycopg(connection)
    bind = None
    if type(connection) is Bound:
        connection, bind = connection
    classes = {(kind.__module__.partition(".")[0], kind.__name__) for kind in connection.__class__.__mro__}
    caller = _known(connection, classes, bind)
    if caller is None:
        raise TypeError(_unknown(connection, classes))
    return caller


def psycopg_connection(connection: object) -> Connection:
    """The connection of psycopg 3 that lies under the user's argument `connection`. Raises TypeError."""
    caller: Any = None
    with suppress(TypeError):  # its advice is for statements of ours
        caller = caller_of(connection)
    under = caller
    if isinstance(caller, _Django):
        caller._connection.ensure_connection()
        under = caller._connection.connection
    elif isinstance(caller, _SQLAlchemy):
        under = caller._on().connection.driver_connection
    if isinstance(under, psycopg.Connection):
        return _psycopg(under)
    raise TypeError(f"this takes a connection of psycopg 3, or what leads to one, not {_kind(connection)}")


def djangos_wrapper(connection: object) -> Any:
    """The DatabaseWrapper of Django's, or its proxy, if `connection` is one or leads to one; otherwise None."""
    caller = caller_of(connection)
    return caller._connection if isinstance(caller, _Django) else None


def raise_to_caller(failure: DatabaseFailure, connection: AnyConnection, schema: str) -> NoReturn:
    """Raise the error of the caller's driver that the failure stands for, as it is. If the tables are missing, raise a
    SchemaError that says so, with the driver's error as its cause."""
    error = failure.__cause__ or failure
    if failure.sqlstate in MISSING:
        raise SchemaError(
            f"the tables of steve are missing or too old in schema {schema!r} of {place_of(connection)}, to which the "
            f"connection leads (SQLSTATE {failure.sqlstate}): run manager.migrate() or `python -m steve migrate` for that "
            "database, or pass a connection to the database of the manager"
        ) from error
    raise error from error.__cause__


def place_of(connection: AnyConnection) -> str:
    """Where the connection leads, for the message of an error."""
    if isinstance(connection, Caller):
        return connection.place()
    info = connection.info
    return f"database {info.dbname!r} on {info.host or info.hostaddr}:{info.port}"


def sqlstate_of(error: BaseException | None) -> str | None:
    """PostgreSQL's SQLSTATE in an error of any driver, or in the one that SQLAlchemy (`orig`) or Django (`__cause__`) has made
    another error of. None: the error is not PostgreSQL's."""
    for _ in range(5):
        if error is None:
            return None
        fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}  # pg8000
        for state in (getattr(error, "sqlstate", None), getattr(error, "pgcode", None), fields.get("C")):
            if isinstance(state, str) and len(state) == 5:
                return state
        error = getattr(error, "orig", None) or error.__cause__
    return None


def _psycopg(connection: Any) -> Connection:
    """The connection itself, out of a cursor and out of proxies: psycopg's C code takes nothing else."""
    if isinstance(connection, _CURSORS):
        connection = connection.connection
    while not issubclass(type(connection), psycopg.Connection):
        connection = connection.__wrapped__
    ours: Connection = connection
    return ours


def _known(connection: Any, classes: set[tuple[str, str]], bind: object) -> AnyConnection | None:
    if ("sqlalchemy", "Session") in classes or ("sqlalchemy", "scoped_session") in classes:
        return _session(connection, bind)
    if bind is not None:
        raise TypeError(f"bind= goes together with a Session of SQLAlchemy's, not with {_kind(connection)}")
    modules = {module for module, _ in classes}
    if ("django", "CursorWrapper") in classes:
        connection = connection.db
    if "django" in modules and (vendor := getattr(connection, "vendor", None)) is not None:
        if vendor != "postgresql":
            raise TypeError(f"connection leads to {vendor!r}, and steve's tables are in PostgreSQL: pass that connection")
        return _Django(connection)
    if ("sqlalchemy", "Connection") in classes:
        return _SQLAlchemy(_on_postgresql(connection.dialect, connection), {})
    if "sqlalchemy" in modules and hasattr(connection, "driver_connection"):  # of engine.raw_connection()
        return caller_of(connection.driver_connection)
    if "psycopg2" in modules and hasattr(connection, "cursor"):
        return _Psycopg2(connection)
    if "psycopg2" in modules and hasattr(connection, "fetchall"):
        return _Psycopg2(connection.connection)
    return None


def _session(session: Any, bind: object) -> Caller:
    if bind is None:
        try:
            bound = session.get_bind()
        except Exception as error:
            if type(error).__name__ != "UnboundExecutionError":
                raise
            raise TypeError(
                "the Session has several binds: say with bind= on which engine steve's tables are, or pass "
                "session.connection(bind_arguments={'bind': engine})"
            ) from None
        _on_postgresql(bound.dialect, session)
        return _SQLAlchemy(session, {})
    if not hasattr(bind, "dialect"):
        raise TypeError(f"bind must be an Engine or a Connection of SQLAlchemy's, not {_kind(bind)}")
    _on_postgresql(bind.dialect, session)
    return _SQLAlchemy(session, {"bind_arguments": {"bind": bind}})


def _on_postgresql(dialect: Any, connection: Any) -> Any:
    if dialect.name != "postgresql":
        raise TypeError(f"connection leads to {dialect.name!r}, and steve's tables are in PostgreSQL: pass that connection")
    return connection


_STATEMENT = (
    "make the statement with manager.statement(type, payload, ...) and execute it with your driver: "
    "`sql, parameters, uid = manager.statement(...)`"
)
_HINTS = (
    ("sqlalchemy", "AsyncSession", "await session.run_sync(lambda session: manager.create(..., connection=session))"),
    ("sqlalchemy", "async_scoped_session", "await session.run_sync(lambda session: manager.create(..., connection=session))"),
    ("sqlalchemy", "AsyncConnection", "await connection.run_sync(lambda sync: manager.create(..., connection=sync))"),
    ("sqlalchemy", "Engine", "a connection of `with engine.begin() as connection:`"),
    ("sqlalchemy", "AsyncEngine", "a connection of `async with engine.begin() as connection:`, inside run_sync"),
    ("sqlalchemy", "sessionmaker", "a Session that it makes"),
    ("django", "ConnectionHandler", "django.db.connection, or connections['the alias']"),
)


def _unknown(connection: object, classes: set[tuple[str, str]]) -> str:
    hint = next((f"pass {hint}" for module, name, hint in _HINTS if (module, name) in classes), _STATEMENT)
    return (
        "connection must be a Connection or Cursor of psycopg 3 or psycopg2, Django's connection, or a Session or Connection "
        f"of SQLAlchemy's, not {_kind(connection)}: {hint}"
    )


def _kind(value: object) -> str:
    kind = value.__class__
    return f"{kind.__module__}.{kind.__qualname__}"


@lru_cache(maxsize=1_000)
def _clause(sql: str) -> Any:
    """The statement as SQLAlchemy takes it. SQLAlchemy is there, since the connection is one of its own."""
    return sys.modules["sqlalchemy"].text(sql)


def _first(row: Any) -> str:
    """The only column of a row: of a tuple, or of a dict if the connection makes dicts."""
    value: str = next(iter(row.values())) if isinstance(row, dict) else row[0]
    return value
