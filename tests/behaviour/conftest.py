"""Fixtures that several files about the manager share: tables that are made once for a file, and a breaker for the
manager's threads.
"""

from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from steve import JobManager
from tests.behaviour.breaker import Breaker


@pytest.fixture(scope="module")
def tables(database_url: str) -> Iterator[str]:
    """The name of a schema with steve's tables. It is made once for a file."""
    name = f"test_{uuid4().hex[:12]}"
    manager = JobManager(database_url, schema=name)
    manager.migrate()
    manager.stop()
    yield name
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))


@pytest.fixture
def breaker(make_manager: Callable[..., JobManager]) -> Iterator[Breaker]:
    """Breaks off or holds up threads that are started during the test."""
    with Breaker() as breaker:
        yield breaker
