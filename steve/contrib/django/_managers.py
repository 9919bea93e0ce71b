"""The managers of this process, one for each database and schema, and `manager`, which stands for the one that the settings
name.

Django makes its connections and backends anew in each thread, so what is costly is kept here. A manager opens its own
connections where Django's database is at that moment (_conninfo.py). Its calls use Django's connection, so that a job is part
of the transaction that creates it.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, router

from steve import JobManager, SchemaError, StopReport
from steve.contrib.django import _around, _settings
from steve.contrib.django._conninfo import conninfo
from steve.contrib.django._pool import warn_if_small

logger = logging.getLogger("steve")

APP = "steve.contrib.django"
MIGRATE = "In Django, `python manage.py migrate` makes the tables."


@contextmanager
def _saying_what_to_do() -> Iterator[None]:
    try:
        yield
    except SchemaError as error:
        error.add_note(MIGRATE)
        raise


def _on_djangos(name: str) -> Any:
    """The method of JobManager with this name, on Django's connection unless the caller says `connection=`."""
    method = getattr(JobManager, name)

    @functools.wraps(method)
    def call(self: DjangoManager, *args: Any, **options: Any) -> Any:
        if options.get("on_done") is None:  # on_done and a connection do not go together
            options.setdefault("connection", connections[self.alias])
        with _saying_what_to_do():
            return method(self, *args, **options)

    return call


def _on_djangos_if_atomic(name: str) -> Any:
    """As `_on_djangos`, but outside `atomic` on a connection of steve's own: there each batch is a transaction, and is sent
    again if it failed."""
    method = getattr(JobManager, name)

    @functools.wraps(method)
    def call(self: DjangoManager, *args: Any, **options: Any) -> Any:
        if connections[self.alias].in_atomic_block:
            options.setdefault("connection", connections[self.alias])
        with _saying_what_to_do():
            return method(self, *args, **options)

    return call


class DjangoManager(JobManager):
    """A JobManager whose calls use the connection that Django uses in this thread. With `connection=None` they use one of
    steve's own. The tables are for `manage.py migrate` to make, not for `start()` and `run()`."""

    alias: str
    """The alias of its database."""

    create = _on_djangos("create")
    create_many = _on_djangos("create_many")
    find = _on_djangos("find")
    history = _on_djangos("history")
    logs = _on_djangos("logs")
    fetch_all = _on_djangos("fetch_all")
    cancel = _on_djangos("cancel")
    retry = _on_djangos("retry")
    reschedule = _on_djangos("reschedule")
    set_priority = _on_djangos("set_priority")
    delete = _on_djangos("delete")
    cancel_all = _on_djangos_if_atomic("cancel_all")
    retry_all = _on_djangos_if_atomic("retry_all")
    delete_all = _on_djangos_if_atomic("delete_all")

    def start(self, workers: Any = None, *, migrate: bool = False) -> None:
        workers = self._workers(workers)
        with _saying_what_to_do():
            super().start(workers, migrate=migrate)

    def run(self, workers: Any = None, *, migrate: bool = False, **options: Any) -> StopReport:
        workers = self._workers(workers)
        with _saying_what_to_do():
            return super().run(workers, migrate=migrate, **options)

    def _workers(self, given: Any) -> Any:
        workers = _settings.read().get("workers", 2) if given is None else given
        warn_if_small(self.alias, workers)
        return workers


class Lazy:
    """Stands for `manager_for()`, whatever the settings say when it is used. `isinstance` takes it for a JobManager."""

    __class__ = property(lambda self: JobManager)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python and its tools ask of any object
            raise AttributeError(name)
        return getattr(manager_for(), name)

    def __enter__(self) -> JobManager:
        return manager_for().__enter__()

    def __exit__(self, *error: Any) -> None:
        manager_for().__exit__(*error)

    def __repr__(self) -> str:
        return "<the manager of steve.contrib.django>"


# Protects _managers. Under it a manager is constructed, which waits for nothing. Reentrant, for the settings of a project may
# import what asks for a manager.
_lock = threading.RLock()
_managers: dict[tuple[str, str], DjangoManager] = {}


def manager_for(alias: str | None = None) -> JobManager:
    """The manager of this process for the database `alias`, in the schema that the settings name. It opens no connection.

    `alias`: None: where a router sends writes of the model Job, else STEVE["database"], else "default". Raises
    ImproperlyConfigured for settings that cannot be.
    """
    key = (alias_of_jobs() if alias is None else alias, _settings.schema())
    with _lock:
        if key not in _managers:
            _managers[key] = _make(*key)
        return _managers[key]


def managers_of(alias: str) -> list[DjangoManager]:
    """Those that were made for this database."""
    with _lock:
        return [manager for (its_alias, _), manager in _managers.items() if its_alias == alias]


def alias_of_jobs() -> str:
    """The alias of the database with the jobs."""
    if router.routers:
        from steve.contrib.django.models import Job  # not at the top: Django has its models later

        for one in router.routers:
            chosen = one.db_for_write(Job) if hasattr(one, "db_for_write") else None
            if chosen:
                return str(chosen)
    return str(_settings.read().get("database", DEFAULT_DB_ALIAS))


def _make(alias: str, schema: str) -> DjangoManager:
    where = partial(conninfo, alias)
    keywords = {**_settings.of_manager(), "schema": schema}
    try:
        manager = DjangoManager(where, **keywords)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"STEVE: {error}") from error
    manager.alias = alias
    if apps.ready and not apps.is_installed(APP):  # the system check comes too late if only a view imports us
        logger.warning("%s is not in INSTALLED_APPS: nobody looks for handlers, and no migration makes the tables", APP)
    _around.install(manager)
    return manager
