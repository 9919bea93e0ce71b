"""The managers of this process, one for each database and schema, and `manager`, which stands for the one that the settings
name.

Django makes its backends anew in each thread, so what is costly is kept here. A manager opens its connections where Django's
database is at that moment (_conninfo.py), and its calls use Django's own connection, so that a job is part of the transaction
that creates it.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, router

from steve import Job, JobManager
from steve.contrib.django import _around, _settings
from steve.contrib.django._conninfo import check_vendor, conninfo


class DjangoManager(JobManager):
    """A JobManager whose calls use the connection that Django uses in this thread, unless `connection` is given. With
    `connection=None` they use a connection of steve's own."""

    alias: str

    def start(self, workers: Any = None, *, migrate: bool = False) -> None:
        super().start(_settings.read().get("workers", 2) if workers is None else workers, migrate=migrate)

    def create(self, *args: Any, **options: Any) -> Job:
        if options.get("on_done") is None:  # it does not go together with a connection
            options.setdefault("connection", connections[self.alias])
        return super().create(*args, **options)


class Lazy:
    """Stands for `manager_for()`, whatever the settings say when it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(manager_for(), name)

    def __repr__(self) -> str:
        return "<the manager of steve.contrib.django>"


_lock = threading.Lock()  # protects _managers; nothing is called while it is held but a constructor, which does not wait
_managers: dict[tuple[str, str], DjangoManager] = {}


def manager_for(alias: str | None = None) -> JobManager:
    """The manager of this process for the database `alias`, in the schema that the settings name. It opens no connection.

    `alias`: None: what a router says about the model Job, else STEVE["database"], else "default". Raises ImproperlyConfigured,
    TypeError and ValueError for settings that cannot be.
    """
    key = (alias_of_jobs() if alias is None else alias, _settings.schema())
    with _lock:
        if key not in _managers:
            _managers[key] = _make(key[0])
        return _managers[key]


def alias_of_jobs() -> str:
    """The alias of the database with the jobs."""
    from steve.contrib.django.models import Job as JobModel  # not before Django has its apps

    for one in router.routers:
        chosen = one.db_for_write(JobModel) if hasattr(one, "db_for_write") else None
        if chosen:
            return str(chosen)
    return str(_settings.read().get("database", DEFAULT_DB_ALIAS))


def _make(alias: str) -> DjangoManager:
    check_vendor(connections[alias])
    where = partial(conninfo, alias)
    try:
        manager = DjangoManager(where, **_settings.of_manager())
    except TypeError:  # for the time being: db=callable is not here yet
        manager = DjangoManager(where(), **_settings.of_manager())
    manager.alias = alias
    _around.install(manager)
    return manager
