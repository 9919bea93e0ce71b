"""Which databases get steve's tables, in which schema, and what `manage.py check` says about the settings."""

from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from steve import JobManager, grants
from steve.contrib.django import tasks
from tests.contrib.django.projects import Project, database, project

ROUTED = {"DATABASE_ROUTERS": ["shop.routers.JobsRouter"]}


@pytest.mark.parametrize("schema", ["steve", 'O\'Neill "jobs"'])
def test_makemigrations_finds_no_difference_and_migrate_makes_the_tables(database_url: str, schema: str) -> None:
    with project(database_url, settings={"STEVE": {"schema": schema}}) as one:
        assert "No changes detected" in one.manage("makemigrations", "--check")
        assert one.manage("steve", "health") == "ok\n"
        assert "No migrations to apply" in one.manage("migrate")
        assert "insert into" in one.manage("sqlmigrate", "steve", "0001")
        assert one.query("select to_regnamespace('steve') is null") == [(schema != "steve",)]
        one.manage("migrate", "steve", "zero", "--verbosity", "0")
        assert one.manage("steve", "health") == "ok\n"  # the tables stay
        one.manage("migrate", "--verbosity", "0")


def test_without_tables_a_call_says_what_to_do(database_url: str) -> None:
    with project(database_url, migrated=False) as one:
        create = "from steve.contrib.django import manager; manager.create('nobody', {})"
        for options in ("", ", connection=None"):
            output = one.manage("shell", "--command", create.replace(", {}", ", {}" + options), code=1)
            assert "steve.SchemaError" in output.replace("steve.errors.", "steve.")
            assert "`python manage.py migrate` makes the tables" in output


def test_tables_that_steve_made_itself_stay_as_they_are(database_url: str) -> None:
    with project(database_url, migrated=False) as one:
        manager = JobManager(one.conninfo)
        manager.migrate()
        job = manager.create("ship", {"order": 1})
        manager.stop()
        one.manage("migrate", "--verbosity", "0")
        assert one.query("select uid from steve.job") == [(job.uid,)]
        assert one.manage("steve", "migrate") == "-- nothing to do\n"


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        (ROUTED, "second"),
        ({"STEVE": {"database": "second"}}, "second"),
        ({**ROUTED, "STEVE": {"database": "default"}}, "second"),
        ({}, "default"),
    ],
    ids=["a router", "the setting", "the router wins", "nothing said"],
)
def test_the_tables_are_made_only_where_the_jobs_go(database_url: str, settings: dict[str, Any], made: str) -> None:
    with database(database_url) as second:
        databases = {"second": {"NAME": conninfo_to_dict(second)["dbname"]}}
        with project(database_url, migrated=False, settings={**settings, "databases": databases}) as one:
            for alias in ("default", "second"):
                one.manage("migrate", "--database", alias, "--verbosity", "0")
            other = Project(second)
            found = {"default": one, "second": other}
            assert [alias for alias, its in found.items() if its.query("select to_regclass('steve.job')") != [(None,)]] == [
                made
            ]
            create = "from steve.contrib.django import manager; manager.create('nobody', {}); manager.stop()"
            one.manage("shell", "--command", create)
            assert found[made].query("select count(*) from steve.job") == [(1,)]


def test_a_role_that_django_assumes_is_the_one_that_works(database_url: str, shop: Project) -> None:
    role = f"r_{conninfo_to_dict(shop.conninfo)['dbname']}"
    options = {"databases": {"default": {"OPTIONS": {"assume_role": role}}}}
    shop.execute(f"create role {role}")
    try:
        assert "permission denied" in shop.manage("steve", "prune", "--older-than", "1d", code=1, **options)
        shop.execute(grants("steve", worker=role))
        assert shop.manage("steve", "prune", "--older-than", "1d", **options) == "0 jobs deleted\n"
    finally:
        shop.execute(f"drop owned by {role}; drop role {role}")


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"INSTALLED_APPS": ["shop", "site_.early"]}, "steve.E001", "INSTALLED_APPS"),
        ({"STEVE": {"database": "nowhere"}}, "steve.E002", "'nowhere'"),
        ({"databases": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}, "steve.E004", "sqlite"),
        ({"STEVE": {"workers": 8}, "databases": {"default": {"OPTIONS": {"pool": True}}}}, "steve.W005", "4 connections"),
        (
            {"STEVE": {"workers": "mail:4;*:2"}, "databases": {"default": {"OPTIONS": {"pool": {"max_size": 6}}}}},
            "steve.W005",
            "6 connections",
        ),
        ({"SILENCED_SYSTEM_CHECKS": []}, "steve.W006", "psycopg 3"),
        pytest.param(
            {"TASKS": {"default": {"BACKEND": "steve.contrib.django.SteveBackend"}}},
            "steve.E008",
            "pip install django-tasks",
            marks=pytest.mark.skipif(tasks.are_there(), reason="Django has tasks"),
        ),
    ],
)
def test_the_system_checks_say_what_is_wrong(shop: Project, settings: dict[str, Any], code: str, words: str) -> None:
    output = shop.manage("check", code=None, ROOT_URLCONF="site_.plain_urls", **settings)
    assert f"({code})" in output
    assert words in output


def test_the_log_says_that_the_app_is_missing_if_nobody_imports_it_before_the_checks(shop: Project) -> None:
    create = "from steve.contrib.django import manager; print(manager.health().ok)"
    output = shop.manage("shell", "--command", create, INSTALLED_APPS=["shop"], ROOT_URLCONF="site_.plain_urls")
    assert "steve.contrib.django is not in INSTALLED_APPS" in output


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"queue": "mail"}, "STEVE['queue'] is no setting"),
        ({"schema": "x" * 64}, "schema"),
        ({"schema": 7}, "schema"),
        ({"poll_interval": "often"}, "STEVE: poll_interval"),
        ({"queues": ["x" * 256]}, "STEVE: "),
        ({"modules": "jobs"}, "modules"),
        ([], "STEVE must be a dict"),
    ],
)
def test_settings_that_cannot_be_are_named(shop: Project, settings: Any, words: str) -> None:
    assert words in shop.manage("check", code=1, STEVE=settings)


def test_many_ended_jobs_that_nobody_prunes_are_worth_a_warning(shop: Project) -> None:
    few = "import steve.contrib.django._checks as c; c.MANY = 2; from django.core.management import call_command as call; "
    shop.execute(
        "insert into steve.job (type, status, completed_at) select 'x', 'completed', now() from generate_series(1, 5); "
        "analyze steve.job"
    )
    look = few + "call('check', databases=['default'])"
    assert "(steve.W007)" in shop.manage("shell", "--command", look)
    assert "(steve.W007)" not in shop.manage("check", "--database", "default")
    with_prune = "from datetime import timedelta; from django.conf import settings; "
    with_prune += "settings.STEVE = {'prune': {'completed': timedelta(days=1)}}; "
    assert "(steve.W007)" not in shop.manage("shell", "--command", with_prune + look)
