"""Fixtures for the tests of the pages: a Reader that runs a page's blocks, and the tables of the reader's own program."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import JobManager
from tests.docs.reader import Reader


@pytest.fixture
def reader(
    database_url: str, schema: str, conn: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    """A reader. Every manager that it makes has the test's schema and is stopped at the end."""
    made: list[JobManager] = []
    init = JobManager.__init__

    def noted(self: JobManager, *arguments: Any, **keywords: Any) -> None:
        init(self, *arguments, **({"schema": schema} | keywords))
        made.append(self)

    monkeypatch.setattr(JobManager, "__init__", noted)
    conn.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    reader = Reader(database_url, schema, tmp_path)
    yield reader
    for manager in made:
        manager.request_stop()
    reports = [manager.stop(timeout=30) for manager in made]
    if engine := reader.namespace.get("engine"):  # SQLAlchemy's
        engine.dispose()
    if pool := reader.namespace.get("pool"):  # psycopg's
        pool.close()
    assert all(report.complete for report in reports), reports


@pytest.fixture
def create_table(conn: psycopg.Connection, schema: str) -> Callable[[str], None]:
    """`create_table("orders (email text)")`: a table of the reader's own program."""

    def create(definition: str) -> None:
        conn.execute(f'create table "{schema}".{definition}'.encode())

    return create


@pytest.fixture
def shop(create_table: Callable[[str], None], reader: Reader) -> Reader:
    """A reader whose program has its tables."""
    create_table("orders (email text)")
    create_table("payments (job uuid primary key, amount integer)")
    create_table("customers (email text)")
    create_table("accounts (name text, balance integer)")
    return reader


@pytest.fixture
def count(conn: psycopg.Connection, schema: str) -> Callable[[str], int]:
    def count(table: str) -> int:
        query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
        (number,) = conn.execute(query).fetchone() or (0,)
        return int(number)

    return count
