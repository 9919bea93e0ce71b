"""What the registry of a manager keeps alive, and what it calls when handlers change."""

import gc
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from steve import JobManager
from steve._engine.registry import Registry
from tests.conftest import until


class Listening:
    """As the runner does: it keeps the registry, and wants to hear of changes."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.heard = 0
        registry.when_handlers_change(self.hear)

    def hear(self) -> None:
        self.heard += 1


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_each_change_of_the_handlers_is_heard() -> None:
    registry = Registry(fallback=None, handlers=None)
    listening = Listening(registry)
    registry.handler("a")(lambda job: None)
    registry.set_handler("b", lambda job: None)
    registry.reset_handlers()
    assert listening.heard == 3


def test_handlers_may_change_when_the_one_who_listened_is_gone() -> None:
    registry = Registry(fallback=None, handlers=None)
    Listening(registry)
    registry.set_handler("a", lambda job: None)
    assert registry.handlers.types() == ["a"]


@pytest.mark.usefixtures("no_collector")
def test_the_pool_is_closed_with_the_last_reference_to_the_manager(
    database_url: str, schema: str, conn: psycopg.Connection
) -> None:
    name = f"dropped-{uuid4().hex[:12]}"
    manager = JobManager(make_conninfo(database_url, application_name=name), schema=schema)
    manager.migrate()
    manager.create("a")

    def sessions() -> list[tuple[int]]:
        return conn.execute("select pid from pg_stat_activity where application_name = %s", [name]).fetchall()

    assert sessions()
    del manager
    until(lambda: not sessions())
