"""What a caller's connection is taken for, and the statements for other drivers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy
import wrapt
from django.core.cache.backends.base import BaseCache
from django.db import ConnectionHandler
from django.utils.connection import ConnectionProxy
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, sessionmaker

from steve import JobManager
from steve._database.caller import Caller, caller_of, psycopg_connection, sqlstate_of
from steve._database.portable import as_text, portable, row_of, with_json_rows
from tests.drivers import HOLDERS, django_connections, engine_of, hold_django, hold_psycopg, hold_psycopg2

SQLITE = sqlalchemy.create_engine("sqlite://")
HANDLER = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})


class CacheHandler:
    def __getitem__(self, alias: str) -> BaseCache:
        return BaseCache({})


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "int": (lambda: 1, r"not builtins\.int: make the statement with manager\.statement\("),
    "conninfo": (lambda: "dbname=x", r"not builtins\.str: make the statement"),
    "a class": (lambda: psycopg.Connection, "not builtins.type"),
    "psycopg's async class": (lambda: psycopg.AsyncConnection.__new__(psycopg.AsyncConnection), r"AsyncConnection: make the"),
    "a function": (lambda: lambda: None, r"not builtins\.function"),
    "Django's cache": (lambda: ConnectionProxy(CacheHandler(), "default"), r"not django\.utils\.connection\.ConnectionProxy"),
    "Django on SQLite": (lambda: HANDLER["default"], "connection leads to 'sqlite', and steve's tables are in PostgreSQL"),
    "Django's connections": (lambda: HANDLER, r"pass django\.db\.connection, or connections\["),
    "AsyncSession": (lambda: AsyncSession(), r"pass await session\.run_sync\(lambda"),
    "Engine": (lambda: SQLITE, r"pass a connection of `with engine\.begin\(\) as connection:`"),
    "sessionmaker": (lambda: sessionmaker(SQLITE), "pass a Session that it makes"),
    "Session on SQLite": (lambda: Session(SQLITE), "connection leads to 'sqlite'"),
    "Session without a bind": (lambda: Session(), "several binds: say with bind="),
    "Connection on SQLite": (lambda: SQLITE.connect(), "connection leads to 'sqlite'"),
    "a raw connection of SQLite": (lambda: SQLITE.raw_connection(), r"not sqlite3\.Connection: make the statement"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_refused_and_what_the_error_says(name: str) -> None:
    make, text = REFUSED[name]
    manager = JobManager("dbname=nowhere")
    for call in (
        lambda: manager.create("a", connection=make()),
        lambda: manager.create_many([("a", {})], connection=make()),
        lambda: manager.create_many([], connection=make()),
        lambda: manager.find(UUID(int=1), connection=make()),
        lambda: manager.cancel(UUID(int=1), connection=make()),
    ):
        with pytest.raises(TypeError, match=text):
            call()


def test_bind_is_for_sessions() -> None:
    manager = JobManager("dbname=nowhere")
    for connection in (None, 1, HANDLER["default"]):
        with pytest.raises(TypeError, match="bind= goes together with a Session"):
            manager.create("a", connection=connection, bind=SQLITE)
    with pytest.raises(TypeError, match="bind must be an Engine"):
        manager.create("a", connection=Session(), bind="engine")
    with pytest.raises(TypeError, match="leads to 'sqlite'"):
        manager.create("a", connection=Session(), bind=SQLITE)


@pytest.mark.parametrize("name", list(HOLDERS))
def test_only_what_is_not_psycopgs_is_sent_through_its_own_cursor(name: str, database_url: str) -> None:
    with HOLDERS[name](database_url) as held:
        caller = caller_of(held.connection)
        assert isinstance(caller, Caller) == (not name.startswith("psycopg-") and name != "psycopg")
        if not isinstance(caller, Caller):
            assert type(caller) is psycopg.Connection


def test_cursors_lead_to_their_connections(database_url: str) -> None:
    with hold_psycopg(database_url) as held, held.connection.cursor() as cursor:
        assert caller_of(cursor) is held.connection
        assert caller_of(wrapt.ObjectProxy(cursor)) is held.connection
    with hold_psycopg2(database_url) as held, held.connection.cursor() as cursor:
        assert isinstance(caller_of(wrapt.ObjectProxy(cursor)), Caller)


def test_the_psycopg_connection_under_what_is_given(database_url: str) -> None:
    with hold_psycopg(database_url) as held:
        assert psycopg_connection(held.connection) is held.connection
    with hold_django(database_url) as held:
        assert psycopg_connection(held.connection) is held.connection.connection
    with HOLDERS["session-psycopg"](database_url) as held:
        assert psycopg_connection(held.connection) is held.connection.connection().connection.driver_connection
    with engine_of(database_url, "psycopg").connect() as connection:
        assert type(caller_of(connection.connection)) is psycopg.Connection
    for name in ("psycopg2", "session-psycopg2", "session-pg8000"):
        with (
            HOLDERS[name](database_url) as held,
            pytest.raises(TypeError, match="connection must be a Connection or Cursor of psycopg 3, or Django"),
        ):
            psycopg_connection(held.connection)
    with pytest.raises(TypeError, match="NoneType"):
        psycopg_connection(None)


def test_django_before_its_first_query(manager: JobManager, database_url: str) -> None:
    connection = django_connections(database_url)["default"]
    assert connection.connection is None
    job = manager.create("a", connection=ConnectionProxy({"default": connection}, "default"))
    assert manager.find(job) == job
    connection.close()


@pytest.mark.parametrize("name", ["psycopg", "psycopg2", "django", "session-psycopg", "session-psycopg2", "session-pg8000"])
def test_the_sqlstate_of_an_error(name: str, database_url: str) -> None:
    with HOLDERS[name](database_url) as held:
        with pytest.raises(Exception, match="division") as caught:
            held.run("select 1/0")
        assert sqlstate_of(caught.value) == "22012"
        held.rollback()
    assert sqlstate_of(ValueError("x")) is None


# -- statements ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "sql"),
    [
        (
            "pyformat",
            "select cast(cast(%(a)s as pg_catalog.text) as real[]), '%%', ':x', cast(%(b)s as pg_catalog.text), x::int",
        ),
        ("named", r"select cast(cast(:a as pg_catalog.text) as real[]), '%', '\:x', cast(:b as pg_catalog.text), x::int"),
        (
            "numeric_dollar",
            "select cast(cast($1 as pg_catalog.text) as real[]), '%', ':x', cast($2 as pg_catalog.text), x::int",
        ),
    ],
)
def test_parameters_are_text_and_are_cast(style: str, sql: str) -> None:
    assert portable("select %(a)s::real[], '%%', ':x', %(b)s, x::int", style) == (sql, ("a", "b"))


def test_a_row_is_one_text() -> None:
    text = with_json_rows("with x as (\n  select 1\n)\nselect a, b\nfrom x\nwhere c")
    assert re.sub(r"\s+", " ", text) == (
        "with x as ( select 1 ) select (select pg_catalog.row_to_json(answer)::pg_catalog.text from (select a, b) as answer) "
        "from x where c"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("ä", "ä"),
        (True, "true"),
        (False, "false"),
        (-3, "-3"),
        (1e300, "1e+300"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02 03:04:05.000006+00:00"),
        (timedelta(days=-1, microseconds=1), "-86399999999 microseconds"),
        (["a", 'b"'], '{"a","b\\""}'),
    ],
)
def test_values_as_text(value: object, text: str | None) -> None:
    assert as_text(value) == text


def test_a_row_gets_its_values_back() -> None:
    row = row_of(
        '{"uid":"00000000-0000-0000-0000-000000000001","run_at":"2026-01-02T03:04:05.6+05:45","timeout":3,"x":null,"x":1}'
    )
    assert row[:1] == (UUID(int=1),)
    assert row[1] == datetime(2026, 1, 1, 21, 19, 5, 600000, UTC)
    assert isinstance(row[2], float)
    assert row[3:] == (None, 1)


# -- ddtrace ------------------------------------------------------------------------------------------------------------

DDTRACE = """
import os, sys
os.environ.update(DD_TRACE_ENABLED="false", DD_INSTRUMENTATION_TELEMETRY_ENABLED="false")
import ddtrace
ddtrace.patch(psycopg=True, django=True, sqlalchemy=True)
from tests.drivers import HOLDERS
from steve import JobManager
database_url, schema = sys.argv[1:]
manager = JobManager(database_url, schema=schema)
for name in ("psycopg", "psycopg2", "django", "session-psycopg", "session-psycopg2", "connection-psycopg2"):
    with HOLDERS[name](database_url) as held:
        kinds = type(held.connection).__name__
        for _ in range(5):
            lost = manager.create("a", {"n": 1}, connection=held.connection)
            held.rollback()
            kept = manager.create("a", {"n": 1}, unique=name, connection=held.connection)
            held.commit()
            assert manager.find(lost) is None
            assert manager.find(kept) == kept
            assert manager.cancel(kept, connection=held.connection).status == "cancelled"
            held.commit()
    print(name, kinds)
"""


def test_under_ddtrace(manager: JobManager, database_url: str, schema: str) -> None:
    pytest.importorskip("ddtrace")
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", DDTRACE, database_url, schema],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Traced" in ran.stdout.splitlines()[0]
    assert len(ran.stdout.splitlines()) == 6
