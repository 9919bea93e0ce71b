"""A caller's connection of any driver: what is created on it is part of its transaction, and comes back as on psycopg 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from steve import JobManager, NewJob

sqlalchemy = pytest.importorskip("sqlalchemy")
psycopg2 = pytest.importorskip("psycopg2")
from django.conf import settings as django_settings  # noqa: E402
from django.db import ConnectionHandler  # noqa: E402
from sqlalchemy.orm import Session, scoped_session, sessionmaker  # noqa: E402

MakeManager = Callable[..., JobManager]


class Held:
    """A caller's connection, and how its user ends the transaction and sends SQL."""

    def __init__(
        self, connection: Any, commit: Callable[[], Any], rollback: Callable[[], Any], run: Callable[[str], Any]
    ) -> None:
        self.connection, self.commit, self.rollback, self.run = connection, commit, rollback, run


def url_of(database_url: str, driver: str) -> Any:
    parts = conninfo_to_dict(database_url)
    query = {"host": parts["host"]} if driver != "pg8000" else {}
    if driver == "pg8000":
        return sqlalchemy.URL.create(f"postgresql+{driver}", username=parts["user"], database=parts["dbname"])
    return sqlalchemy.URL.create(
        f"postgresql+{driver}",
        username=parts["user"],
        database=parts["dbname"],
        password=parts.get("password"),
        query={**query, "port": str(parts.get("port", 5432))},
    )


def engine_of(database_url: str, driver: str) -> Any:
    parts = conninfo_to_dict(database_url)
    more = {}
    if driver == "pg8000" and str(parts["host"]).startswith("/"):
        more = {"connect_args": {"unix_sock": f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}"}}
    return sqlalchemy.create_engine(url_of(database_url, driver), poolclass=sqlalchemy.NullPool, **more)


@contextmanager
def hold_psycopg(database_url: str) -> Iterator[Held]:
    with psycopg.connect(database_url) as connection:
        yield Held(connection, connection.commit, connection.rollback, connection.execute)


@contextmanager
def hold_psycopg2(database_url: str, **more: Any) -> Iterator[Held]:
    connection = psycopg2.connect(database_url, **more)

    def run(sql: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    yield Held(connection, connection.commit, connection.rollback, run)
    connection.close()


def django_connections(database_url: str) -> Any:
    if not django_settings.configured:
        django_settings.configure(USE_TZ=True)
    parts = conninfo_to_dict(database_url)
    return ConnectionHandler({
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts["dbname"],
            "USER": parts["user"],
            "PASSWORD": parts.get("password", ""),
            "HOST": parts["host"],
            "PORT": str(parts.get("port", "")),
        }
    })  # fmt: skip


@contextmanager
def hold_django(database_url: str) -> Iterator[Held]:
    connection = django_connections(database_url)["default"]
    connection.set_autocommit(False)

    def run(sql: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    yield Held(connection, connection.commit, connection.rollback, run)
    connection.close()


def holding_session(driver: str, *, scoped: bool = False) -> Callable[[str], Any]:
    @contextmanager
    def hold(database_url: str) -> Iterator[Held]:
        engine = engine_of(database_url, driver)
        session: Any = scoped_session(sessionmaker(engine)) if scoped else Session(engine)
        yield Held(session, session.commit, session.rollback, lambda sql: session.execute(sqlalchemy.text(sql)))
        session.close()

    return hold


def holding_connection(driver: str) -> Callable[[str], Any]:
    @contextmanager
    def hold(database_url: str) -> Iterator[Held]:
        with engine_of(database_url, driver).connect() as connection:
            run = lambda sql: connection.execute(sqlalchemy.text(sql))  # noqa: E731
            yield Held(connection, connection.commit, connection.rollback, run)

    return hold


HOLDERS: dict[str, Callable[[str], Any]] = {
    "psycopg": hold_psycopg,
    "psycopg2": hold_psycopg2,
    "django": hold_django,
    "session-psycopg": holding_session("psycopg"),
    "session-psycopg2": holding_session("psycopg2"),
    "session-pg8000": holding_session("pg8000"),
    "scoped-psycopg2": holding_session("psycopg2", scoped=True),
    "connection-psycopg": holding_connection("psycopg"),
    "connection-psycopg2": holding_connection("psycopg2"),
    "connection-pg8000": holding_connection("pg8000"),
}


@pytest.fixture(params=list(HOLDERS))
def held(request: pytest.FixtureRequest, database_url: str) -> Iterator[Held]:
    with HOLDERS[request.param](database_url) as held:
        yield held


FULL: dict[str, Any] = {
    "max_attempts": 7,
    "backoff_strategy": "none",
    "queue": "mail",
    "priority": -3,
    "delay": timedelta(hours=3, microseconds=7),
    "tags": {"a": "ä€", "n": 3, "b": True},
    "metadata": {"x": [1, None, "\u2028"]},
    "expires_in": 90_000.5,
    "timeout": 12.25,
}
PAYLOAD = {"text": "Ä € \U0001f600 ' \" \\ % %s :x ::y $1", "n": [1.5, 10**30, None, True, {"deep": {}}]}


def test_a_job_is_committed_and_rolled_back_with_the_callers_writes(manager: JobManager, held: Held) -> None:
    for _ in range(3):
        lost = manager.create("a", PAYLOAD, connection=held.connection)
        held.rollback()
        kept = manager.create("a", PAYLOAD, connection=held.connection)
        assert manager.find(kept) is None
        held.commit()
        assert manager.find(kept) == kept
        assert manager.find(lost) is None


def test_all_that_a_job_can_have_is_stored(manager: JobManager, held: Held) -> None:
    made = [manager.create("ä", PAYLOAD, **FULL, connection=held.connection)]
    made.append(manager.create("a", PAYLOAD, **FULL, unique="schlüssel", unique_for=60, connection=held.connection))
    made.append(
        manager.create(
            "a",
            run_at=datetime(2999, 1, 2, tzinfo=UTC),
            expires_at=datetime(3000, 1, 1, tzinfo=UTC),
            connection=held.connection,
        )
    )
    made += manager.create_many([("b", PAYLOAD), NewJob("c", {"x": 1}, **FULL)], connection=held.connection)
    made += manager.create_many(
        [("b", PAYLOAD), NewJob("c", unique="k", unique_for=5), NewJob("d", **FULL)], connection=held.connection
    )
    assert [manager.find(job, connection=held.connection) for job in made] == made
    held.commit()
    assert [manager.find(job) for job in made] == made
