"""What the other files take from Django's tasks: those of Django 6, or of the package `django-tasks` for older versions."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import django

if find_spec("django.tasks") is not None:
    NAME = "django.tasks"
elif find_spec("django_tasks") is not None:
    NAME = "django_tasks"
else:
    raise ImportError(f"Django {django.__version__} has no tasks: pip install django-tasks, or use Django 6 or newer")

_tasks: Any = import_module(NAME)
_base: Any = import_module(f"{NAME}.base")
_exceptions: Any = import_module(f"{NAME}.exceptions")
_json: Any = import_module("django.utils.json" if NAME == "django.tasks" else f"{NAME}.utils")

BaseTaskBackend: Any = import_module(f"{NAME}.backends.base").BaseTaskBackend
DjangoDummyBackend: Any = import_module(f"{NAME}.backends.dummy").DummyBackend
DjangoImmediateBackend: Any = import_module(f"{NAME}.backends.immediate").ImmediateBackend
DEFAULT_ALIAS: str = _base.DEFAULT_TASK_BACKEND_ALIAS
Task: Any = _base.Task
TaskContext: Any = _base.TaskContext
TaskError: Any = _base.TaskError
TaskResult: Any = _base.TaskResult
TaskResultStatus: Any = _base.TaskResultStatus
task_backends: Any = _tasks.task_backends
InvalidTask: Any = getattr(_exceptions, "InvalidTask", None) or _exceptions.InvalidTaskError
TaskResultDoesNotExist: Any = _exceptions.TaskResultDoesNotExist
normalize_json: Any = _json.normalize_json
signals: Any = import_module(f"{NAME}.signals")
