"""Backends for tests, which take the same tasks as SteveBackend: Django's own, with SteveTask. Its keywords are checked and do
nothing."""

from __future__ import annotations

from steve.contrib.django.tasks._django import DjangoDummyBackend, DjangoImmediateBackend
from steve.contrib.django.tasks.task import SteveTask


class ImmediateBackend(DjangoImmediateBackend):
    """Runs each task when it is enqueued, in the caller's thread."""

    task_class = SteveTask


class DummyBackend(DjangoDummyBackend):
    """Runs nothing, and keeps in `results` what was enqueued."""

    task_class = SteveTask
