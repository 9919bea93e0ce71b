"""The plugin for pytest, in test runs of their own: without any framework, with pytest-postgresql, and with a named manager.

With Django: see test_django.py.
"""

import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def database(conn: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database for the tests of a run."""
    name = f"test_{uuid4().hex[:12]}"
    conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    url = make_conninfo(database_url, dbname=name)
    monkeypatch.setenv("STEVE_TEST_DATABASE_URL", url)
    monkeypatch.delenv("STEVE_DATABASE_URL", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # or pytest-postgresql takes the run for a part of this one
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    yield url
    conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    plain = ("-p", "no:cacheprovider", "-p", "no:django", "-p", "no:cov", "-p", "no:timeout")
    return pytester.runpytest_subprocess("-q", *plain, *arguments)


def schemas(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        query = "select nspname from pg_namespace where nspname like 'test%' or nspname = 'steve'"
        return [name for (name,) in connection.execute(query)]


def test_pytest_finds_the_plugin_by_itself() -> None:
    found = [point.value for point in entry_points(group="pytest11") if point.name == "steve"]
    assert found == ["steve.testing.plugin"]


def test_each_test_has_a_manager_on_tables_of_its_own(pytester: pytest.Pytester, database: str) -> None:
    pytester.makepyfile("""
        import pytest
        import sys

        from steve import Job, JobManager
        from steve.testing import enqueued


        @pytest.fixture
        def steve_manager_options():
            return {"max_crashes": 7}


        @pytest.fixture
        def manager(steve_manager):
            steve_manager.set_handler("a", lambda job: job.payload["n"] + 1)
            return steve_manager


        @pytest.mark.parametrize("number", [1, 2])
        def test_a_job(manager, steve_drain, number):
            assert enqueued(manager) == []
            manager.create("a", {"n": number})
            assert [ran.job.result for ran in steve_drain()] == [number + 1]


        def test_a_started_manager_is_stopped(manager):
            manager.start(1)
            assert manager.wait(manager.create("a", {"n": 1}), timeout=20).result == 2


        def test_no_framework_is_imported():
            assert not {"django", "sqlalchemy", "flask"} & {name.partition(".")[0] for name in sys.modules}
    """)
    result = run(pytester)
    result.assert_outcomes(passed=4)
    assert schemas(database) == []


def test_a_test_that_leaves_a_handler_running_fails(pytester: pytest.Pytester, database: str) -> None:
    pytester.makepyfile("""
        import threading

        import pytest

        from steve.testing import plugin

        plugin.SECONDS_TO_STOP = 0.2
        release = threading.Event()


        def test_one(steve_manager):
            began = threading.Event()
            steve_manager.set_handler("stuck", lambda job: (began.set(), release.wait()) and None)
            steve_manager.start(1)
            steve_manager.create("stuck")
            assert began.wait(20)


        def test_two(steve_manager):
            release.set()
    """)
    result = run(pytester)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*the test has left jobs behind: 0.2 s after stop() these handlers run: 'stuck' *"])


SHOP = """
    from steve import JobManager

    manager = JobManager()


    @manager.handler("welcome")
    def welcome(job):
        return {"sent": True}
"""


def test_the_manager_of_a_module_has_empty_tables(pytester: pytest.Pytester, database: str) -> None:
    pytester.makeini("[pytest]\nsteve_manager = shop:manager\npythonpath = .")
    pytester.makepyfile(
        shop=SHOP,
        test_it="""
            import pytest


            @pytest.mark.parametrize("number", [1, 2])
            def test_it(steve_manager, steve_drain, number):
                import shop

                assert steve_manager is shop.manager
                assert steve_manager.fetch_all() == []
                steve_manager.create("welcome")
                assert [ran.job.result for ran in steve_drain()] == [{"sent": True}]
                steve_manager.create("welcome")
        """,
    )
    run(pytester).assert_outcomes(passed=2)
    assert schemas(database) == ["steve"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:manager", "names no manager: No module named 'nowhere'"),
        ("shop:other", "names no manager: module 'shop' has no attribute 'other'"),
        ("shop:welcome", "names a function, not a JobManager"),
    ],
)
def test_a_setting_that_names_no_manager_is_told(pytester: pytest.Pytester, database: str, name: str, message: str) -> None:
    pytester.makeini(f"[pytest]\nsteve_manager = {name}\npythonpath = .")
    pytester.makepyfile(shop=SHOP, test_it="def test_it(steve_manager): pass")
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*the setting steve_manager = '{name}' {message}*"])


def test_the_tables_are_in_the_database_of_pytest_postgresql(pytester: pytest.Pytester, database: str) -> None:
    """Its server runs already, so its `noproc` fixtures are used."""
    parts = conninfo_to_dict(database)
    pytester.makeconftest(f"""
        from pytest_postgresql import factories

        postgresql_noproc = factories.postgresql_noproc(
            host={parts["host"]!r}, port={parts.get("port", 5432)!r}, user={parts["user"]!r},
            password={parts.get("password")!r}, dbname="test_of_the_plugin",
        )
        postgresql = factories.postgresql("postgresql_noproc")
    """)
    pytester.makepyfile("""
        import pytest


        def test_both(postgresql, steve_manager, steve_drain):
            steve_manager.set_handler("a", lambda job: None)
            steve_manager.create("a", connection=postgresql)
            assert steve_drain() == []
            assert len(steve_drain(postgresql)) == 1
            postgresql.commit()
            assert len(steve_manager.fetch_all("completed")) == 1
            with pytest.raises(LookupError):
                raise LookupError(postgresql.info.dbname)
            assert postgresql.info.dbname == "test_of_the_plugin"
    """)
    run(pytester).assert_outcomes(passed=1)


def test_the_embedded_server_is_there_without_any_setting(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEVE_TEST_DATABASE_URL", raising=False)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    pytester.makepyfile("""
        def test_it(steve_manager, steve_drain):
            steve_manager.set_handler("a", lambda job: None)
            steve_manager.create("a")
            assert len(steve_drain()) == 1
    """)
    run(pytester).assert_outcomes(passed=1)
    assert "STEVE_TEST_DATABASE_URL" not in os.environ
