"""Checks what users pass as `db` and `listen_db`, and makes a conninfo of it. What they pass as `connection`: caller.py."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

ENVIRONMENT = "STEVE_DATABASE_URL"
CONNECT_SECONDS = 10
NOTICING = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""With these a dead link is noticed in about 11 s: by the keepalives while a thread waits, and by the timeout (in milliseconds)
while it sends. By default Linux takes two hours for the former and a quarter of an hour for the latter."""


def conninfo_of(db: object) -> str:
    """The conninfo from a string, from an open connection (nothing else of it is used), or from the environment (None)."""
    if isinstance(db, psycopg.Connection):
        if db.closed:
            raise ValueError("db is a closed connection: pass an open one, its conninfo or a pool")
        return make_conninfo(db.info.dsn, password=db.info.password or None)
    if db is None:
        db = os.environ.get(ENVIRONMENT, "")  # "": libpq reads its PG* variables when it connects
    if not isinstance(db, str):
        raise TypeError(
            "db must be a conninfo string, an open psycopg_pool.ConnectionPool, an open psycopg.Connection, a "
            "function that returns a conninfo, or None, "
            f"not {_kind(db)}: {_psycopg3_or('steve is synchronous and takes no async connection or pool', db)}"
        )
    return _complete(_sound("db", db))


Source = Callable[[], str]
"""Returns the conninfo for the next connection. Raises psycopg.OperationalError."""


def source_of(db: object) -> Source:
    """What a manager asks for the conninfo, from its `db`: a function is called for each connection, everything else is read
    now. Raises TypeError and ValueError."""
    if callable(db) and not isinstance(db, psycopg.Connection | type):
        return _asking("db", db)
    conninfo = conninfo_of(db)
    return lambda: conninfo


def listen_source_of(listen_db: object) -> Source | None:
    """As `source_of`. None: notifications and heartbeats use `db`, as everything else does."""
    if callable(listen_db):
        return _asking("listen_db", listen_db)
    conninfo = listen_conninfo_of(listen_db)
    return None if conninfo is None else lambda: conninfo


def _asking(keyword: str, function: Callable[[], object]) -> Source:
    def ask() -> str:
        # psycopg's error, because to the code that connects this is one more reason why there is no connection at present
        try:
            conninfo = function()
        except Exception as error:
            raise psycopg.OperationalError(f"the function given as {keyword} raised {type(error).__name__}") from error
        if not isinstance(conninfo, str):
            raise psycopg.OperationalError(
                f"the function given as {keyword} must return a conninfo string, not {_kind(conninfo)}"
            )
        try:
            return _complete(_sound(f"what {keyword}() returned", conninfo))
        except ValueError as error:
            raise psycopg.OperationalError(str(error)) from None

    return ask


def listen_conninfo_of(listen_db: object) -> str | None:
    """The conninfo from a string. None: notifications and heartbeats use `db`, as everything else does."""
    if listen_db is not None and not isinstance(listen_db, str):
        raise TypeError(
            f"listen_db must be a conninfo string, a function that returns one, or None, not {type(listen_db).__name__}"
        )
    return None if listen_db is None else _complete(_sound("listen_db", listen_db))


def _sound(keyword: str, conninfo: str) -> str:
    try:
        conninfo_to_dict(conninfo)
        # libpq would stop reading at a NUL, and would take the text after a stray @ in a password for a host
        sound = "\x00" not in conninfo and not _has_stray_at(conninfo)
    except (psycopg.ProgrammingError, UnicodeEncodeError):
        sound = False
    if not sound:  # not chained: libpq's message repeats the text with the password
        raise ValueError(f"{keyword} is not a valid conninfo (not shown, it may hold a password): {_mistake(conninfo)}")
    return conninfo


def _complete(conninfo: str) -> str:
    """Add the values of the environment, so that its later changes do not matter. A conninfo with a service stays as it is,
    because the values of the service's file must count more than those of the environment."""
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
    """What is wrong with the conninfo, without any part of it that may be a secret."""
    if driver := re.match(r"postgres(?:ql)?(\+[a-z0-9_]+)://", conninfo):
        return f"it is a URL of SQLAlchemy's: leave out {driver[1]!r}, libpq knows postgresql:// only"
    query = conninfo.partition("?")[2] if "://" in conninfo else conninfo
    for name in _OF_OTHERS:
        if re.search(rf"(?:^|[?&\s]){name}\s*=", query):
            hint = "; name the schema of the tables as JobManager(..., schema=...)" if name in _OF_OTHERS[:3] else ""
            return f"libpq knows no parameter {name!r}: leave it out{hint}"
    return "write postgresql://user@host/database or key=value pairs, special characters in a URL percent-encoded"


def _has_stray_at(conninfo: str) -> bool:
    """Whether a URL has an @ besides the one before the host, such as one in a password that is not percent-encoded. libpq
    would take a part of the password for the host, and its messages name hosts.
    """
    authority, _, rest = conninfo.partition("://")[2].partition("/")
    return authority.count("@") > 1 or "@" in rest.partition("?")[0]


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


def _psycopg3_or(otherwise: str, value: object) -> str:
    """The end of an error message: for an object of psycopg2 a hint at psycopg 3, for all others `otherwise`."""
    return (
        "steve needs psycopg 3 (the package psycopg), which can be installed beside it"
        if "psycopg2" in _kind(value)
        else otherwise
    )


def connect_arguments(conninfo: str, timeout: float) -> dict[str, Any]:
    """The arguments for psycopg.connect: the conninfo, and our values for what the user left unset. `timeout`: seconds after
    which the caller gives up."""
    given = conninfo_to_dict(conninfo)
    # libpq tries one host after the other, each for connect_timeout seconds, which is never less than two.
    hosts = str(given.get("host") or given.get("hostaddr") or "").count(",") + 1
    share = math.ceil(timeout) if hosts == 1 else max(2, math.floor(timeout / hosts))
    ours = {"fallback_application_name": "steve", "connect_timeout": min(CONNECT_SECONDS, share)}
    if "service" not in given:  # the values of its file are not known here, and ours would override them
        ours |= NOTICING
    unset = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.val is None}  # unset in the environment
    ours = {name: value for name, value in ours.items() if name in unset}
    # Text is sent as UTF-8, whatever the database's encoding, and every statement is a transaction of its own.
    return ours | given | {"client_encoding": "utf8", "autocommit": True}
