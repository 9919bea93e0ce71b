"""What all tests may use: a PostgreSQL and a proxy before it, a schema of its own for each test, managers that are stopped
afterwards, an event for their handlers to wait for, and until().

The PostgreSQL is the one that STEVE_TEST_DATABASE_URL names, otherwise an embedded one. A test must leave no connection behind,
and no thread that keeps the process alive. Tests may run in any order, and in several processes at a time, each of which has an
embedded PostgreSQL of its own. All processes must find the same tests, so parameters come from no random source.
"""

import inspect
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import JobManager, embedded
from tests.behaviour.proxy import Proxy

T = TypeVar("T")

APPLICATION = f"steve-tests-{os.getpid()}"
"""Marks the connections of this run in pg_stat_activity, which may show those of other programs too."""

PATIENCE = float(os.environ.get("STEVE_TEST_PATIENCE", "30"))
"""How many seconds until() waits for what should be so at once."""


def pytest_configure(config: pytest.Config) -> None:
    # A shell ignores Ctrl-C in what it runs in the background, and Python then has no KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("STEVE_TEST_DATABASE_URL") and config.getoption("numprocesses", None):
        raise pytest.UsageError("the PostgreSQL at STEVE_TEST_DATABASE_URL serves one process: tests look at all that it does")


def until(predicate: Callable[[], T], timeout: float = PATIENCE) -> T:
    """Wait until `predicate()` is true, and return its value. Fails the test after `timeout` seconds, which no machine needs.

    Tests wait with this function or for an event, and never sleep. A handler in a test may sleep, in order to take some time.
    """
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            pytest.fail(f"after {timeout:g} s still {value!r}: {_source(predicate)}")
        time.sleep(0.005)
    return value


def _source(predicate: Callable[[], object]) -> str:
    try:
        return " ".join(inspect.getsource(predicate).split())
    except (OSError, TypeError):
        return repr(predicate)


@pytest.fixture(scope="session")
def server() -> Iterator[embedded.Server]:
    """The embedded server, for tests that use its programs or that stop it and start it again. No test cuts the power, so it
    does not wait for the disk."""
    with embedded.server(fsync="off") as server:
        yield server


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> str:
    """A conninfo whose role may create schemas."""
    url = os.environ.get("STEVE_TEST_DATABASE_URL") or request.getfixturevalue("server").conninfo
    return make_conninfo(url, application_name=APPLICATION)


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to that database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def schema(database_url: str) -> Iterator[str]:
    """The name of a schema that does not exist yet. If the test creates it, it is dropped afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    yield name
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("set lock_timeout = '20s'")
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name)))


@pytest.fixture
def make_manager(database_url: str, schema: str) -> Iterator[Callable[..., JobManager]]:
    """`make_manager(**keywords)` makes a JobManager on the test's database and schema, unless the keywords name others.

    All managers are stopped after the test, even if it fails. By then the test must have released handlers that wait.
    """
    managers: list[JobManager] = []

    def make(db: Any = database_url, handler: Any = None, **keywords: Any) -> JobManager:
        manager = JobManager(db, handler, **({"schema": schema} | keywords))
        managers.append(manager)
        return manager

    yield make
    for manager in managers:
        manager.request_stop()
    reports = [manager.stop(timeout=60) for manager in managers]
    assert all(report.complete for report in reports), reports


@pytest.fixture
def manager(make_manager: Callable[..., JobManager]) -> JobManager:
    """A JobManager that is not started. Its tables exist."""
    manager = make_manager()
    manager.migrate()
    return manager


@pytest.fixture
def gate(make_manager: Callable[..., JobManager]) -> Iterator[threading.Event]:
    """An event for handlers to wait for. It is set when the test ends, even if it fails, before the managers are stopped."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with Proxy(database_url) as proxy:
        yield proxy


@pytest.fixture
def loggers_as_before() -> Iterator[None]:
    """Undoes what a test, or the code of a page, sets up in `logging`."""
    loggers = [logging.root, *(one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger))]
    before = [(one, one.level, one.propagate, one.disabled, [*one.handlers], [*one.filters]) for one in loggers]
    yield
    for logger, level, propagate, disabled, handlers, filters in before:
        logger.setLevel(level)
        logger.propagate, logger.disabled, logger.handlers, logger.filters = propagate, disabled, handlers, filters


@pytest.fixture(autouse=True)
def nothing_left_behind(loggers_as_before: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves behind a thread that keeps the process alive, or a connection, with which it could leave a lock
    or a transaction."""
    before = set(threading.enumerate())
    yield
    until(lambda: not [thread for thread in threading.enumerate() if thread not in before and not thread.daemon])
    if "database_url" in request.fixturenames:
        with psycopg.connect(request.getfixturevalue("database_url"), autocommit=True) as connection:
            until(lambda: not _connections(connection))


def _connections(observer: psycopg.Connection) -> list[Any]:
    query = "select pid, state, query from pg_stat_activity where application_name = %s and pid <> pg_backend_pid()"
    return observer.execute(query, [APPLICATION]).fetchall()
