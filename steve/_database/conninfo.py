"""Makes a conninfo of what the caller passes as `db`, and checks it before it is used."""

from __future__ import annotations

import math
import os
import re
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from steve._database.failures import Connection

ENVIRONMENT = "STEVE_DATABASE_URL"
CONNECT_SECONDS = 10
NOTICING = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A dead link is noticed in about 11 s: the keepalives notice it for a thread that waits, the timeout (in milliseconds) for one
that sends. By default Linux takes two hours for the one and a quarter of an hour for the other."""


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
    return _complete(_sound("db", db))


def listen_conninfo_of(listen_db: object) -> str | None:
    """The conninfo of a string; None: the listener connects as all others do."""
    if listen_db is not None and not isinstance(listen_db, str):
        raise TypeError(f"listen_db must be a conninfo string or None, not {type(listen_db).__name__}")
    return None if listen_db is None else _complete(_sound("listen_db", listen_db))


def _sound(keyword: str, conninfo: str) -> str:
    try:
        conninfo_to_dict(conninfo)
        # libpq would stop reading at a NUL, and it would take what follows a stray @ in a password for a host
        sound = "\x00" not in conninfo and not _has_stray_at(conninfo)
    except (psycopg.ProgrammingError, UnicodeEncodeError):
        sound = False
    if not sound:  # not chained: libpq's message repeats the text, password and all
        raise ValueError(f"{keyword} is not a valid conninfo (not shown, it may hold a password): {_mistake(conninfo)}")
    return conninfo


def _complete(conninfo: str) -> str:
    """Add what the environment says now, so that later changes of the environment do not matter. A conninfo with a service is
    left as it is: what the service's file sets counts less than a conninfo, but more than the environment."""
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
    """What is wrong with it, without showing any part of it that may be a secret."""
    if driver := re.match(r"postgres(?:ql)?(\+[a-z0-9_]+)://", conninfo):
        return f"it is a URL of SQLAlchemy's: leave out {driver[1]!r}, libpq knows postgresql:// only"
    query = conninfo.partition("?")[2] if "://" in conninfo else conninfo
    for name in _OF_OTHERS:
        if re.search(rf"(?:^|[?&\s]){name}\s*=", query):
            hint = "; name the schema of the tables as JobManager(..., schema=...)" if name in _OF_OTHERS[:3] else ""
            return f"libpq knows no parameter {name!r}: leave it out{hint}"
    return "write postgresql://user@host/database or key=value pairs, special characters in a URL percent-encoded"


def _has_stray_at(conninfo: str) -> bool:
    """Whether a URL has an @ besides the one between the password and the host: one in the password that is not
    percent-encoded. libpq would take a part of the password for the host, and its messages name hosts.
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
    """How to connect: the conninfo, and our values for what the user left unset. `timeout`: seconds after which the caller
    gives up."""
    given = conninfo_to_dict(conninfo)
    # libpq gives each host its share, one after the other, and none less than two seconds.
    hosts = str(given.get("host") or given.get("hostaddr") or "").count(",") + 1
    share = math.ceil(timeout) if hosts == 1 else max(2, math.floor(timeout / hosts))
    ours = {"fallback_application_name": "steve", "connect_timeout": min(CONNECT_SECONDS, share)}
    if "service" not in given:  # what its file sets is not known here, and would count less than our values
        ours |= NOTICING
    unset = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.val is None}  # by the environment
    ours = {name: value for name, value in ours.items() if name in unset}
    # text travels as UTF-8 whatever the database's encoding; every statement is a transaction of its own
    return ours | given | {"client_encoding": "utf8", "autocommit": True}
