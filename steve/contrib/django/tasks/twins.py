"""Backends for tests, which take the same tasks as SteveBackend: Django's own, with SteveTask and its checks."""

from __future__ import annotations

from typing import Any

from steve.contrib.django.tasks._django import DjangoDummyBackend, DjangoImmediateBackend
from steve.contrib.django.tasks.task import SteveTask, check_options, options_of


class _Twin:
    task_class = SteveTask

    def validate_task(self, task: Any) -> None:
        super().validate_task(task)  # type: ignore[misc]  # of Django's backend, which comes after this class
        stated = self.options.get("tasks", {})  # type: ignore[attr-defined]
        check_options(options_of(task, stated.get(task.module_path, {})), task.module_path)


class ImmediateBackend(_Twin, DjangoImmediateBackend):
    """Runs each task when it is enqueued, in the caller's thread. The keywords of steve are checked and do nothing."""


class DummyBackend(_Twin, DjangoDummyBackend):
    """Runs nothing, and keeps in `results` what was enqueued. The keywords of steve are checked and do nothing."""
