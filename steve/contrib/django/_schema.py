"""Has Django's migrations make steve's tables, in those databases that are to have them."""

from __future__ import annotations

from typing import Any

from django.db import connections, migrations, router

from steve import migrations as of_steve
from steve.contrib.django import _settings
from steve.contrib.django._managers import alias_of_jobs


class Apply(migrations.RunPython):
    """An operation of a Django migration: applies one of steve's migrations. Undone, it does nothing, because the tables may
    have jobs; `drop schema` is for people."""

    reduces_to_sql = True  # `sqlmigrate` shows it

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(self._apply, migrations.RunPython.noop)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__qualname__, [self.name], {}

    def describe(self) -> str:
        return f"Apply steve's migration {self.name}"

    def _apply(self, apps: object, editor: Any) -> None:
        if has_jobs(editor.connection.alias):
            editor.execute(of_steve.sql(self.name, schema=_settings.schema()), params=None)


def has_jobs(alias: str) -> bool:
    """Whether steve's tables belong into this database. A router may say so for several; if none says anything, it is the one
    that new jobs go to."""
    if connections[alias].vendor != "postgresql":
        return False
    from steve.contrib.django.models import Job  # not at the top: Django has its models later

    for one in router.routers:
        allow = getattr(one, "allow_migrate", None)
        allowed = None if allow is None else allow(alias, "steve", model_name="job", model=Job)
        if allowed is not None:
            return bool(allowed)
    return alias == alias_of_jobs()


def create_missing(*, using: str, plan: Any = None, **others: Any) -> None:
    """For the signal post_migrate: makes the tables if Django was told to run no migrations (pytest's --nomigrations). `flush`
    sends the signal, too, so this looks once and is content."""
    if not has_jobs(using):
        return
    schema = _settings.schema()
    with connections[using].cursor() as cursor:
        cursor.execute("select pg_catalog.to_regclass(%s)", [f"{connections[using].ops.quote_name(schema)}.migration"])
        if cursor.fetchone() == (None,):
            cursor.execute(of_steve.sql(schema=schema))
