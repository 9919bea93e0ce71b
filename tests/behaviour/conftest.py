"""What several files about the manager share: tables made once for a file, and something for handlers to wait for."""

import threading
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from steve import JobManager
from tests.behaviour.proxy import Proxy


@pytest.fixture(scope="module")
def tables(database_url: str) -> Iterator[str]:
    """The name of a schema with steve's tables, made once for a file."""
    name = f"test_{uuid4().hex[:12]}"
    manager = JobManager(database_url, schema=name)
    manager.migrate()
    manager.stop()
    yield name
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))


@pytest.fixture
def gate(manager: JobManager) -> Iterator[threading.Event]:
    """Something to wait for; open when the test ends, before its manager is stopped, whatever became of it."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with Proxy(database_url) as proxy:
        yield proxy
