"""The parts of the app that need no project."""

import argparse
import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.utils.module_loading import import_string

from steve.contrib.django import tasks
from steve.contrib.django._conninfo import of_libpq
from steve.contrib.django._pool import count
from steve.contrib.django.management.commands.steve import _age
from steve.supervisor import Supervisor, same_command
from tests.child import ROOT
from tests.conftest import until


@pytest.mark.parametrize(
    ("parameters", "options", "conninfo"),
    [
        ({"dbname": "shop", "user": None}, {}, {"dbname": "shop"}),
        (
            {"dbname": "shop", "cursor_factory": object, "context": None, "prepare_threshold": 5, "sslmode": "require"},
            {},
            {"dbname": "shop", "sslmode": "require"},
        ),
        ({"service": "shop", "passfile": ".pgpass"}, {}, {"service": "shop", "passfile": ".pgpass"}),
        ({"dbname": "shop"}, {"assume_role": "web"}, {"dbname": "shop", "options": "-c role=web"}),
        (
            {"dbname": "shop", "options": "-c statement_timeout=5s"},
            {"assume_role": "a b\\c"},
            {"dbname": "shop", "options": "-c statement_timeout=5s -c role=a\\ b\\\\c"},
        ),
    ],
)
def test_of_django_s_connection_parameters_libpq_gets_its_own(
    parameters: dict[str, Any], options: dict[str, Any], conninfo: dict[str, str]
) -> None:
    assert of_libpq(parameters, options) == conninfo


@pytest.mark.parametrize("role", ["web", "a b", "a'b\"c", "back\\slash"])
def test_a_role_of_any_name_is_assumed(database_url: str, role: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        quoted = psycopg.sql.Identifier(role)
        connection.execute(psycopg.sql.SQL("create role {}").format(quoted))
        try:
            with psycopg.connect(database_url, **of_libpq({}, {"assume_role": role})) as other:
                assert other.execute("select current_user").fetchone() == (role,)
        finally:
            connection.execute(psycopg.sql.SQL("drop role {}").format(quoted))


@pytest.mark.parametrize(
    ("workers", "threads"),
    [(3, 3), ("mail:4;*:2", 6), ({"mail": 4, "*": 2}, 6), ("x", 0), (None, 0), ({"mail": "x"}, 0)],
)
def test_workers_are_counted_as_the_threads_that_they_are(workers: object, threads: int) -> None:
    assert count(workers) == threads


@pytest.mark.parametrize(
    ("text", "age"), [("30d", timedelta(days=30)), ("0s", timedelta()), ("2 weeks", None), ("", None), ("-1d", None)]
)
def test_an_age_is_a_number_and_a_unit(text: str, age: timedelta | None) -> None:
    if age is None:
        with pytest.raises(argparse.ArgumentTypeError):
            _age(text)
    else:
        assert _age(text) == age


@pytest.mark.parametrize(
    "words",
    [
        ["manage.py", "steve", "worker", "--processes", "3", "--burst"],
        ["manage.py", "steve", "worker", "--processes=3", "--burst"],
        ["flask", "steve", "worker", "--reload", "--burst"],
    ],
)
def test_a_process_of_several_runs_the_same_command_alone(words: list[str]) -> None:
    command = same_command(words)
    assert command[0] == sys.executable
    assert command[-3:] == ["steve", "worker", "--burst"]


def test_processes_that_die_young_are_replaced_ever_later_and_one_that_does_not_stop_is_killed() -> None:
    """The second program ignores SIGTERM."""
    dying = Supervisor([sys.executable, "-c", "import sys; sys.exit(3)"], number=1, stop_timeout=1.0)
    slot = dying._slots[0]
    until(lambda: dying._step() and slot.code == 3 and slot._pause >= 0.4)
    assert slot.process is None or slot.process.wait() == 3

    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    stubborn = Supervisor([sys.executable, "-c", deaf], number=1, stop_timeout=-4.9)  # with 5 s of patience
    assert stubborn._step()
    stubborn._on_signal(signal.SIGTERM, None)
    until(lambda: not stubborn._step())
    stubborn._slots[0].kill()
    assert stubborn._slots[0].code in (-signal.SIGKILL, 0, -signal.SIGTERM)


def test_the_app_can_be_imported_before_django_is_set_up() -> None:
    """In a process of its own: other tests set Django up."""
    code = (
        "from django.conf import settings; from steve import JobManager; from steve.contrib.django import manager; "
        "assert not settings.configured; assert isinstance(manager, JobManager); assert 'steve.contrib.django' in repr(manager)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(tasks.are_there(), reason="Django has tasks")
def test_where_django_has_no_tasks_the_backend_says_what_to_install() -> None:
    with pytest.raises(ImportError, match="has no tasks: pip install django-tasks, or use Django 6"):
        import_string("steve.contrib.django.SteveBackend")
