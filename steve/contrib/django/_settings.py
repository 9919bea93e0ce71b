"""Reads the setting STEVE, a dict, each time: tests override settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

OURS = ("database", "workers", "modules")
"""What the app itself uses. `database`: an alias of DATABASES. `workers`: as for `JobManager.start`, what `manage.py steve
worker` uses. `modules`: names of modules to look for in each app, besides jobs and tasks."""

OF_MANAGER = (
    "schema", "queues", "poll_interval", "retry", "lease", "heartbeat", "max_crashes", "notify", "listen_db",
    "max_payload_bytes", "max_result_bytes", "prune", "timeout", "stuck_after", "capture_logs", "capture_print",
    "create_timeout",
)  # fmt: skip
"""Keywords of JobManager."""


def read() -> dict[str, Any]:
    """The setting, as it is now. Raises ImproperlyConfigured."""
    given = getattr(settings, "STEVE", {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"STEVE must be a dict, not {type(given).__name__}")
    known = (*OURS, *OF_MANAGER)
    if wrong := [name for name in given if name not in known]:
        raise ImproperlyConfigured(f"STEVE[{wrong[0]!r}] is no setting of steve: there are {', '.join(sorted(known))}")
    modules = given.get("modules", ())
    if isinstance(modules, str) or not isinstance(modules, Iterable):
        raise ImproperlyConfigured(f'STEVE["modules"] must be a list of names of modules, not {type(modules).__name__}')
    return dict(given)


def schema() -> str:
    """The PostgreSQL schema of the tables."""
    name = read().get("schema", "steve")
    if not isinstance(name, str):
        raise ImproperlyConfigured(f'STEVE["schema"] must be a string, not {type(name).__name__}')
    return name


def of_manager() -> dict[str, Any]:
    """The keywords for JobManager."""
    return {name: value for name, value in read().items() if name in OF_MANAGER}
