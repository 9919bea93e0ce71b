"""The tests of a project pass, by Django's runner and by pytest-django, and leave nothing behind in the test database."""

import os

import pytest

from tests.contrib.django.projects import NEWEST, environment, project

pytestmark = pytest.mark.timeout(600)  # it installs packages, and runs whole suites

POOL = {"databases": {"default": {"OPTIONS": {"pool": {"min_size": 2, "max_size": 6}}}}}
AGE = {"databases": {"default": {"CONN_MAX_AGE": 60}}}


@pytest.mark.parametrize("settings", [{}, AGE, POOL], ids=["closed after each job", "kept for 60 s", "pool"])
def test_a_project_s_tests_pass_with_the_runner_of_django(database_url: str, settings: dict[str, object]) -> None:
    with project(database_url, migrated=False, settings=settings) as one:
        output = one.manage("test", "--noinput")
    assert "\nOK\n" in output
    assert "being accessed by other users" not in output


def test_a_project_s_tests_pass_with_the_newest_django(database_url: str) -> None:
    with project(database_url, migrated=False, python=environment(NEWEST), settings=AGE) as one:
        output = one.manage("test", "--noinput")
        assert "\nOK\n" in output
        assert "being accessed by other users" not in output
        assert "No changes detected" in one.manage("makemigrations", "--check", "steve")


def test_a_project_s_tests_pass_in_parallel_processes(database_url: str) -> None:
    with project(database_url, migrated=False) as one:
        output = one.manage("test", "--noinput", "--parallel", "2")
    assert "\nOK\n" in output
    assert "being accessed by other users" not in output


@pytest.mark.parametrize("options", [[], ["--nomigrations"]], ids=["migrations", "no migrations"])
def test_a_project_s_tests_pass_with_pytest(database_url: str, options: list[str]) -> None:
    with project(database_url, migrated=False) as one:
        output = one.run("-m", "pytest", "-q", "-c", "pytest.ini", "--rootdir", ".", "--create-db", *options)
        assert " passed" in output
        assert "being accessed by other users" not in output
        assert one.query("select to_regnamespace('steve')") == [(None,)], "the real database is untouched"


def test_a_test_database_can_be_dropped_whatever_workers_did_in_it(database_url: str) -> None:
    """STEVE_DJANGO_TEARDOWNS=50: so many times."""
    times = os.environ.get("STEVE_DJANGO_TEARDOWNS", "6")
    quick = {"databases": {"default": {"TEST": {"MIGRATE": False}, "CONN_MAX_AGE": 60}}}
    with project(database_url, migrated=False, settings=quick) as one:
        assert one.run("teardown.py", times).endswith("dropped\n")
        assert one.query("select to_regnamespace('steve')") == [(None,)]
