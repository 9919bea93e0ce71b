"""steve as an app of Django: put "steve.contrib.django" into INSTALLED_APPS.

    from steve.contrib.django import manager

    @manager.handler("welcome")
    def welcome(job): ...

`manager` may be imported anywhere, also before Django is set up: the manager behind it is made when it is first used
(_managers.py). apps.py has the AppConfig, _settings.py reads the setting STEVE, _conninfo.py asks Django where its database is,
_around.py does around each job what Django does around a request. _schema.py makes the tables, models.py and admin.py show the
jobs, _checks.py warns, _teardown.py ends what is open when a test's database is dropped, and management/ has `manage.py steve`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from steve.contrib.django import _checks
from steve.contrib.django._managers import Lazy, manager_for

_checks.register()

if TYPE_CHECKING:
    from steve import JobManager
    from steve.contrib.django.tasks.backend import SteveBackend
    from steve.contrib.django.tasks.task import SteveTask
    from steve.contrib.django.tasks.twins import DummyBackend, ImmediateBackend

    manager: JobManager
else:
    manager = Lazy()

_OF_TASKS = {"SteveBackend": "backend", "SteveTask": "task", "ImmediateBackend": "twins", "DummyBackend": "twins"}


def __getattr__(name: str) -> Any:
    """What tasks/ has, which not every Django can import: it is imported when it is asked for."""
    if name not in _OF_TASKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.tasks.{_OF_TASKS[name]}"), name)


__all__ = ["DummyBackend", "ImmediateBackend", "SteveBackend", "SteveTask", "manager", "manager_for"]
