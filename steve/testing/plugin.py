"""The plugin for pytest, which pytest finds by itself when steve is installed (entry point `pytest11`). It imports no
framework.

    steve_manager   a manager for one test: on tables of its own, or that of the project
    steve_drain     drain() with this manager
    steve_database  where its tables are; override it in a conftest.py to say that
    steve_manager_options
                    keywords for JobManager; override it, too

At the end of the test the manager is stopped, and the test fails if jobs still run.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import JobManager
from steve.testing.drains import Ran, clear, drain

SECONDS_TO_STOP = 10.0
URL = "STEVE_DATABASE_URL"
TEST_URL = "STEVE_TEST_DATABASE_URL"


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "the manager of the program, for steve_manager, as module:attribute; without it each test has a manager of its own"
    parser.addini("steve_manager", text, default="")


@pytest.fixture(scope="session")
def steve_server() -> Iterator[str]:
    """The conninfo of a database for the tests of this run: the one that STEVE_TEST_DATABASE_URL names, otherwise an embedded
    server, which needs `steve-jobs[embedded]`."""
    if url := os.environ.get(TEST_URL):
        yield url
        return
    from steve import embedded

    with embedded.server() as server:
        yield server.conninfo


@pytest.fixture
def steve_database(request: pytest.FixtureRequest) -> object:
    """What JobManager takes as `db`. In a test that asks for `postgresql`, the fixture of pytest-postgresql, it is that
    database; in all others that of `steve_server`."""
    if "postgresql" in request.fixturenames:
        return request.getfixturevalue("postgresql")
    return request.getfixturevalue("steve_server")


@pytest.fixture
def steve_manager_options() -> dict[str, Any]:
    """Keywords for the JobManager of `steve_manager`."""
    return {}


@pytest.fixture
def steve_manager(request: pytest.FixtureRequest) -> Iterator[JobManager]:
    """A manager that is not started. In a project of Django with the app `steve.contrib.django` it is the project's, and the
    test has the database, as with `db`. Otherwise, if the setting `steve_manager` names one, it is that, and its tables are
    empty. Otherwise it is a new one, whose tables are in a schema of their own.

    At the end it is stopped. The test fails if handlers still run by then.
    """
    if _is_in_django():
        transactional = _is_transactional(request)
        request.getfixturevalue("transactional_db" if transactional else "db")
        from steve.testing.django import project_manager

        manager = project_manager()
        yield manager
        _finish(manager)
    elif name := request.config.getini("steve_manager"):
        if not os.environ.get(URL):  # the manager of a module reads it when it is imported
            os.environ[URL] = request.getfixturevalue("steve_server")
        manager = _named(name)
        manager.migrate()
        clear(manager)
        yield manager
        _finish(manager)
        clear(manager)
    else:
        yield from _new(request.getfixturevalue("steve_database"), request.getfixturevalue("steve_manager_options"))


@pytest.fixture
def steve_drain(steve_manager: JobManager) -> Callable[..., list[Ran]]:
    """`steve.testing.drain` with `steve_manager`: `steve_drain(scheduled=True)`."""
    return partial(drain, steve_manager)


@pytest.fixture(autouse=True)
def _steve_in_transactional_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test of a Django project that commits, empty steve's tables. Django empties those of its own models only."""
    if not _is_in_django() or not _is_transactional(request):
        yield
        return
    if request.cls is None or not _is_unittest(request.cls):
        request.getfixturevalue("transactional_db")  # it ends after this one, and then the database may not be used
    yield
    from steve.testing.django import clear_after_commit, project_manager

    clear_after_commit(project_manager())


def _new(database: object, options: dict[str, Any]) -> Iterator[JobManager]:
    schema = options.get("schema", f"test_{uuid4().hex[:12]}")
    manager = JobManager(database, **(options | {"schema": schema}))
    manager.migrate()
    yield manager
    try:
        _finish(manager)
    finally:
        if "schema" not in options:
            _drop(database, schema)


def _drop(database: object, schema: str) -> None:
    if isinstance(database, psycopg.Connection):
        database = make_conninfo(database.info.dsn, password=database.info.password or None)
    if isinstance(database, str):  # a pool is the caller's, and so is the database behind it
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("set lock_timeout = '20s'")
            connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(schema)))


def _finish(manager: JobManager) -> None:
    """Stop the manager, and fail the test if something is left."""
    __tracebackhide__ = True
    report = manager.stop(timeout=SECONDS_TO_STOP)
    if report.complete:
        return
    running = ", ".join(f"{job.type!r} {job.uid}" for job in report.still_running) or "none"
    pytest.fail(
        f"the test has left jobs behind: {SECONDS_TO_STOP:g} s after stop() these handlers run: {running}; {report.unsettled} "
        f"outcomes are not written, {report.untold} events not told. Release what they wait for, or wait for the jobs"
    )


def _named(name: str) -> JobManager:
    module, _, attribute = name.partition(":")
    try:
        manager = getattr(importlib.import_module(module), attribute or "manager")
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"the setting steve_manager = {name!r} names no manager: {error}") from error
    if not isinstance(manager, JobManager):
        raise pytest.UsageError(f"the setting steve_manager = {name!r} names a {type(manager).__name__}, not a JobManager")
    return manager


def _is_in_django() -> bool:
    """Whether these are the tests of a Django project that has the app, under pytest-django."""
    django = sys.modules.get("django.apps")
    return django is not None and django.apps.ready and django.apps.is_installed("steve.contrib.django")


def _is_transactional(request: pytest.FixtureRequest) -> bool:
    """Whether the test commits."""
    if request.cls is not None and _is_unittest(request.cls):
        from django.test import TestCase, TransactionTestCase

        return issubclass(request.cls, TransactionTestCase) and not issubclass(request.cls, TestCase)
    committing = {"transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback", "live_server"}
    if committing.intersection(request.fixturenames):
        return True
    marker = request.node.get_closest_marker("django_db")
    return marker is not None and any(
        marker.kwargs.get(name) for name in ("transaction", "reset_sequences", "serialized_rollback")
    )


def _is_unittest(cls: type) -> bool:
    import unittest

    return issubclass(cls, unittest.TestCase)
