"""Connections of callers, of every driver that `connection=` takes, for the tests.

`HOLDERS`: a context manager for each, called with a conninfo. With it, `Held.run` sends SQL as the driver's users do, on the
transaction that `commit` and `rollback` end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import django
import psycopg
import psycopg2
import sqlalchemy
import wrapt
from django.conf import settings
from django.db import ConnectionHandler
from opentelemetry.instrumentation.dbapi import instrument_connection
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool


class Held(NamedTuple):
    connection: Any
    """What the caller passes."""
    commit: Callable[[], Any]
    rollback: Callable[[], Any]
    run: Callable[[str], Any]
    """Sends SQL and returns the rows, if there are any."""


Holder = Callable[[str], AbstractContextManager[Held]]


def cursor_run(connection: Any) -> Callable[[str], Any]:
    def run(sql: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else None

    return run


@contextmanager
def hold_psycopg(database_url: str) -> Iterator[Held]:
    with psycopg.connect(database_url) as connection:
        yield Held(connection, connection.commit, connection.rollback, cursor_run(connection))


@contextmanager
def hold_psycopg2(database_url: str, given: Callable[[Any], Any] = lambda connection: connection) -> Iterator[Held]:
    """`given(connection)`: what the caller passes."""
    connection = psycopg2.connect(database_url)
    try:
        yield Held(given(connection), connection.commit, connection.rollback, cursor_run(connection))
    finally:
        connection.close()


def django_connections(database_url: str, **options: Any) -> Any:
    if not settings.configured:
        settings.configure(USE_TZ=True, DEBUG=False)
        django.setup()
    parts = conninfo_to_dict(database_url)
    return ConnectionHandler({
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts["dbname"],
            "USER": parts["user"],
            "PASSWORD": parts.get("password", ""),
            "HOST": parts["host"],
            "PORT": str(parts.get("port", "")),
            "OPTIONS": {"application_name": parts.get("application_name", ""), **options},
        }
    })  # fmt: skip


@contextmanager
def hold_django(database_url: str, **options: Any) -> Iterator[Held]:
    connection = django_connections(database_url, **options)["default"]
    connection.inc_thread_sharing()  # handlers may use it, too
    connection.set_autocommit(False)
    try:
        yield Held(connection, connection.commit, connection.rollback, cursor_run(connection))
    finally:
        connection.rollback()
        connection.close()


def hold_django_server_side(database_url: str) -> AbstractContextManager[Held]:
    return hold_django(database_url, server_side_binding=True)


def engine_of(database_url: str, driver: str, **options: Any) -> Any:
    """`driver`: psycopg, psycopg2, pg8000 or asyncpg."""
    parts = conninfo_to_dict(database_url)
    host, port, name = str(parts["host"]), str(parts.get("port", 5432)), str(parts.get("application_name", ""))
    query = {"host": host, "port": port, "application_name": name}
    more: dict[str, Any] = {}
    if driver == "pg8000":
        query = {}
        place = {"unix_sock": f"{host}/.s.PGSQL.{port}"} if host.startswith("/") else {"host": host, "port": int(port)}
        more = {"connect_args": {"application_name": name, **place}}
    elif driver == "asyncpg":
        query = {}
        more = {"connect_args": {"host": host, "port": int(port), "server_settings": {"application_name": name}}}
    user, password, database = (parts.get(one) for one in ("user", "password", "dbname"))
    url = sqlalchemy.URL.create(f"postgresql+{driver}", str(user), password, database=str(database), query=query)  # type: ignore[arg-type]
    make = sqlalchemy.create_engine
    if driver == "asyncpg":
        from sqlalchemy.ext.asyncio import create_async_engine as make  # type: ignore[assignment]
    return make(url, poolclass=NullPool, **more, **options)


def holding_session(driver: str, *, scoped: bool = False, traced: bool = False) -> Holder:
    @contextmanager
    def hold(database_url: str) -> Iterator[Held]:
        engine = engine_of(database_url, driver)
        if traced:
            SQLAlchemyInstrumentor().instrument(engine=engine)
        session: Any = scoped_session(sessionmaker(engine)) if scoped else Session(engine)
        try:
            yield Held(session, session.commit, session.rollback, sqlalchemy_run(session))
        finally:
            session.close()
            if traced:
                SQLAlchemyInstrumentor().uninstrument()

    return hold


def holding_connection(driver: str) -> Holder:
    @contextmanager
    def hold(database_url: str) -> Iterator[Held]:
        with engine_of(database_url, driver).connect() as connection:
            yield Held(connection, connection.commit, connection.rollback, sqlalchemy_run(connection))

    return hold


def sqlalchemy_run(connection: Any) -> Callable[[str], Any]:
    def run(sql: str) -> Any:
        result = connection.execute(sqlalchemy.text(sql))
        return [tuple(row) for row in result] if result.returns_rows else None

    return run


@contextmanager
def hold_traced_psycopg2(database_url: str) -> Iterator[Held]:
    """OpenTelemetry's proxy of a connection, and of its cursors."""
    with hold_psycopg2(database_url, lambda connection: instrument_connection("tests", connection, "postgresql")) as held:
        yield held


@contextmanager
def hold_wrapped_psycopg(database_url: str) -> Iterator[Held]:
    with hold_psycopg(database_url) as held:
        yield held._replace(connection=wrapt.ObjectProxy(held.connection))


@contextmanager
def hold_traced_psycopg(database_url: str) -> Iterator[Held]:
    with hold_psycopg(database_url) as held:
        yield held._replace(connection=instrument_connection("tests", held.connection, "postgresql"))


@contextmanager
def hold_wrapped_django(database_url: str) -> Iterator[Held]:
    with hold_django(database_url) as held:
        yield held._replace(connection=wrapt.ObjectProxy(held.connection))


HOLDERS: dict[str, Holder] = {
    "psycopg": hold_psycopg,
    "psycopg-wrapt": hold_wrapped_psycopg,
    "psycopg-otel": hold_traced_psycopg,
    "psycopg2": hold_psycopg2,
    "psycopg2-wrapt": lambda url: hold_psycopg2(url, wrapt.ObjectProxy),
    "psycopg2-otel": hold_traced_psycopg2,
    "django": hold_django,
    "django-server-side": hold_django_server_side,
    "django-wrapt": hold_wrapped_django,
    "session-psycopg": holding_session("psycopg"),
    "session-psycopg2": holding_session("psycopg2"),
    "session-pg8000": holding_session("pg8000"),
    "session-psycopg2-otel": holding_session("psycopg2", traced=True),
    "scoped-psycopg": holding_session("psycopg", scoped=True),
    "connection-psycopg": holding_connection("psycopg"),
    "connection-psycopg2": holding_connection("psycopg2"),
    "connection-pg8000": holding_connection("pg8000"),
}

FEW = ["psycopg2", "django", "session-psycopg", "session-pg8000", "connection-psycopg2"]
"""Those that differ in what the code does for them."""
