"""Makes the place where the demo works: an embedded PostgreSQL, or a schema in a database of yours. Removes it at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from steve import SteveError, Unavailable


@dataclass(frozen=True)
class Database:
    """A PostgreSQL that is ready for the demo."""

    conninfo: str
    description: str


@contextmanager
def prepared(database_url: str | None, schema: str) -> Iterator[Database]:
    """The database at `database_url`, or an embedded one if that is None.

    `schema` must not exist in the database at `database_url`, and is dropped at the end.
    Raises SteveError if the schema exists or the database cannot be reached.
    """
    if database_url is None:
        from steve import embedded  # imported here: not needed if there is a database_url

        with embedded.server() as server:
            yield Database(server.conninfo, f"PostgreSQL {_version(server.conninfo)}, embedded")
        return
    version = _version(database_url)
    _refuse_if_taken(database_url, schema)
    try:
        yield Database(database_url, f"PostgreSQL {version}, schema {schema}")
    finally:
        with _connect(database_url) as connection:
            # The lock of a job that never ends must not keep the demo from ending.
            connection.execute("set lock_timeout = '30s'")
            connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))


def _version(conninfo: str) -> str:
    with _connect(conninfo) as connection:
        return connection.info.parameter_status("server_version") or "of unknown version"


def _refuse_if_taken(conninfo: str, schema: str) -> None:
    with _connect(conninfo) as connection:
        taken = connection.execute("select from pg_namespace where nspname = %s", [schema]).fetchone()
        if taken is not None:
            raise SteveError(
                f'schema "{schema}" is already there in database "{connection.info.dbname}", and the demo '
                "drops its schema at the end: choose another name with --schema, or drop it yourself"
            )


def _connect(conninfo: str) -> psycopg.Connection:
    try:
        return psycopg.connect(conninfo, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise Unavailable(f"cannot connect to the database: {error}") from None
    except psycopg.ProgrammingError:  # its message repeats the URL, which may contain a password
        raise SteveError("--database-url is neither a URL nor a connection string of PostgreSQL") from None
