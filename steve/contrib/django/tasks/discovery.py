"""The tasks of the apps: those in the modules that the app of steve imports when Django is ready."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.apps import apps

from steve.contrib.django import _settings
from steve.contrib.django.tasks._django import Task
from steve.contrib.django.tasks.calls import task_at

MODULES = ("jobs", "tasks")
LONGEST = 255
"""The longest type of a job."""

_found: Mapping[str, Any] | None = None


def discovered() -> Mapping[str, Any]:
    """The tasks by their paths. None are found before Django is ready."""
    return _found or MappingProxyType({})


def discover() -> Mapping[str, Any]:
    """Look through the modules. Only what is an attribute of one counts: what other modules have may differ from process to
    process, as they may not be imported everywhere."""
    global _found
    found: dict[str, Any] = {}
    for app in apps.get_app_configs():
        for name in (*MODULES, *_settings.read().get("modules", ())):
            module = sys.modules.get(f"{app.name}.{name}")
            for value in list(vars(module).values()) if module is not None else ():
                if isinstance(value, Task) and len(path := value.module_path) <= LONGEST:
                    try:
                        found[path] = task_at(path)
                    except ImportError:
                        pass  # it is enqueued under another name than its own, or not at all
    _found = MappingProxyType(found)
    return _found
