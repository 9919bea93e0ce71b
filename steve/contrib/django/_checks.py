"""System checks: what `manage.py check` says of steve."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import django
from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from steve import Status
from steve.contrib.django import _settings, tasks
from steve.contrib.django._managers import APP, alias_of_jobs, manager_for
from steve.contrib.django._pool import too_small
from steve.contrib.django._schema import has_jobs
from steve.contrib.django._tables import table

MANY = 1_000_000
"""So many ended jobs are worth a warning."""


def check_settings(app_configs: object = None, **others: object) -> list[checks.CheckMessage]:
    try:
        alias, workers = alias_of_jobs(), _settings.read().get("workers", 2)
        if alias not in connections.settings:
            hint = f"There are {', '.join(sorted(connections.settings))}."
            return [checks.Error(f"STEVE names the database {alias!r}, which is not in DATABASES.", hint=hint, id="steve.E002")]
        manager_for()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="steve.E003")]
    found: list[checks.CheckMessage] = []
    if not apps.is_installed(APP):
        hint = f'Add "{APP}" to INSTALLED_APPS.'
        text = f"{APP} is used and not installed, so nobody looks for jobs.py and tasks.py, and no migration makes the tables."
        found.append(checks.Error(text, hint=hint, id="steve.E001"))
    if (vendor := connections[alias].vendor) != "postgresql":
        text = f"DATABASES[{alias!r}] is {vendor}, and steve keeps jobs in PostgreSQL."
        hint = 'Name the alias of a PostgreSQL database as STEVE["database"].'
        found.append(checks.Error(text, hint=hint, id="steve.E004"))
    if problem := too_small(alias, workers):
        hint = 'Raise its "max_size", or lower STEVE["workers"].'
        found.append(checks.Warning(f"{problem}.", hint=hint, id="steve.W005"))
    if not tasks.are_there() and any(APP in str(one) for one in (getattr(settings, "TASKS", None) or {}).values()):
        text = f"TASKS names a backend of steve, but Django {django.__version__} has no tasks, so nothing reads this setting."
        hint = "`pip install django-tasks`, or use Django 6 or newer."
        found.append(checks.Error(text, hint=hint, id="steve.E008"))
    if importlib.util.find_spec("psycopg2") is not None:
        text = "psycopg2 is installed, but Django uses psycopg 3 wherever it is installed, and steve brings it."
        hint = "steve's page about Django says what differs. Uninstall psycopg2, or silence this check when you have read that."
        found.append(checks.Warning(text, hint=hint, id="steve.W006"))
    return found


def check_ended_jobs(
    app_configs: object = None, databases: Sequence[str] | None = None, **others: object
) -> list[checks.CheckMessage]:
    """For `manage.py check --database`, and before each `migrate`."""
    if _settings.read().get("prune"):
        return []
    return [
        checks.Warning(
            f"There are more than {MANY:,} jobs that have ended in {table('job')} of the database {alias!r}.",
            hint='Let STEVE["prune"] delete old ones, or call `manage.py steve prune` now and then.',
            id="steve.W007",
        )
        for alias in databases or ()
        if has_jobs(alias) and _has_many_ended(alias)
    ]


def _has_many_ended(alias: str) -> bool:
    ended = [Status.COMPLETED.value, Status.FAILED.value, Status.CANCELLED.value]
    with connections[alias].cursor() as cursor:
        # The first look is at PostgreSQL's own estimate, and the second reads at most a million rows.
        cursor.execute(
            "select reltuples > %s from pg_catalog.pg_class where oid = pg_catalog.to_regclass(%s)", [MANY, table("job")]
        )
        if cursor.fetchone() != (True,):
            return False
        cursor.execute(f"select 1 from {table('job')} where status = any(%s) offset %s limit 1", [ended, MANY])
        return cursor.fetchone() is not None


def register() -> None:
    checks.register(check_settings)
    checks.register(check_ended_jobs, checks.Tags.database)
