"""`db` may be a function: it is called for each new connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import JobManager, Unavailable
from tests.conftest import until

MakeManager = Callable[..., JobManager]


def test_it_is_not_called_before_a_connection_is_needed_and_then_for_each(
    manager: JobManager, make_manager: MakeManager, database_url: str
) -> None:
    asked: list[int] = []
    done: list[str] = []

    def db() -> str:
        asked.append(1)
        return database_url

    other = make_manager(db, lambda job: done.append(job.type))
    assert asked == []
    other.create("a")
    assert len(asked) == 1
    other.start(migrate=False)
    other.create("b")
    until(lambda: sorted(done) == ["a", "b"])
    until(lambda: len(asked) > 4)  # the loops have connections of their own


def test_a_password_may_change_while_the_manager_runs(
    manager: JobManager, make_manager: MakeManager, database_url: str, schema: str, conn: psycopg.Connection
) -> None:
    """A role that is dropped and made anew stands for a token that is no longer valid: the embedded server asks for none."""
    names = [f"{schema}_one", f"{schema}_two"]
    for name in names:
        conn.execute(sql.SQL("create role {} login superuser").format(sql.Identifier(name)))
    current = [names[0]]
    done: list[str] = []
    worker = make_manager(lambda: make_conninfo(database_url, user=current[0]), lambda job: done.append(job.type))
    try:
        worker.start(migrate=False)
        worker.create("a")
        until(lambda: done == ["a"])
        current[0] = names[1]
        conn.execute(sql.SQL("alter role {} nologin").format(sql.Identifier(names[0])))
        conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [names[0]])
        manager.create("b")
        until(lambda: done == ["a", "b"])
        worker.create("c")
        until(lambda: done == ["a", "b", "c"])
        users = "select distinct usename from pg_stat_activity where usename = any(%s)"
        until(lambda: conn.execute(users, [names]).fetchall() == [(names[1],)])
    finally:
        worker.stop()
        for name in names:
            conn.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_a_database_may_be_renamed_after_the_manager_was_made(
    make_manager: MakeManager, database_url: str, schema: str
) -> None:
    database = ["no_such_database"]
    manager = make_manager(lambda: make_conninfo(database_url, dbname=database[0]))
    database[0] = "postgres"
    manager.migrate()
    assert manager.find(manager.create("a")) is not None


def failing() -> str:
    raise LookupError("the secret is xyzzy")


@pytest.mark.parametrize(
    ("db", "text"),
    [
        (failing, "the function given as db raised LookupError"),
        (lambda: None, "the function given as db must return a conninfo string, not builtins.NoneType"),
        (lambda: "postgresql+psycopg://x:xyzzy@y/z", r"what db\(\) returned is not a valid conninfo \(not shown"),
        (lambda: "password=xyzzy nonsense", r"what db\(\) returned is not a valid conninfo \(not shown"),
    ],
)
def test_a_function_that_fails_is_a_database_that_is_away(make_manager: MakeManager, db: Any, text: str) -> None:
    manager = make_manager(db, create_timeout=0.3)
    for call in (lambda: manager.create("a"), lambda: manager.start(migrate=False)):
        with pytest.raises(Unavailable, match=text) as caught:
            call()
        assert "xyzzy" not in str(caught.value)


def test_a_class_and_other_things_are_refused() -> None:
    for db in (psycopg.Connection, dict, 1):
        with pytest.raises(TypeError, match="a function that returns a conninfo"):
            JobManager(db)
    with pytest.raises(TypeError, match="listen_db must be a conninfo string, a function that returns one, or None"):
        JobManager("dbname=x", listen_db=1)  # type: ignore[arg-type]


def test_listen_db_may_be_one_too(manager: JobManager, make_manager: MakeManager, database_url: str) -> None:
    asked: list[int] = []
    done: list[str] = []

    def listen_db() -> str:
        asked.append(1)
        return database_url

    worker = make_manager(handler=lambda job: done.append(job.type), listen_db=listen_db, poll_interval=600)
    worker.start(migrate=False)
    worker.create("a")
    until(lambda: done == ["a"])
    until(lambda: len(asked) == 2)  # the heartbeat's, and the one that listens, which comes last
    worker.create("b")
    until(lambda: done == ["a", "b"])
    assert len(asked) == 2
