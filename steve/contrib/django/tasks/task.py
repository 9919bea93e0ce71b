"""SteveTask: a task of Django that also takes the keywords of `JobManager.create`. SteveBackend makes one of each `@task`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from steve import JobManager, RetryPolicy
from steve.contrib.django.tasks._django import InvalidTask, Task

CONFLICTS = ("return", "raise", "replace")
OPTIONS = (
    "max_attempts", "backoff_strategy", "timeout", "delay", "unique", "on_conflict", "unique_for", "tags", "metadata",
    "expires_at", "expires_in", "notify",
)  # fmt: skip
"""The keywords of `create` that a task may have. Queue, priority and time are Django's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SteveTask(Task):
    """A task whose jobs are created with these keywords of `JobManager.create`. None: nothing is said.

        @task(max_attempts=5, timeout=60)
        def charge(order): ...

        charge.using(unique="order-7").enqueue(7)

    Django 6.0 takes no keywords in `@task`: there use `using()`, or OPTIONS["tasks"] of the backend.
    """

    max_attempts: int | None = None
    backoff_strategy: str | RetryPolicy | None = None
    timeout: float | timedelta | None = None
    delay: float | timedelta | None = None
    unique: str | Callable[..., str | None] | None = None
    """A key, or a function that is called with the arguments of the task and returns one, or None."""
    on_conflict: str | None = None
    unique_for: float | timedelta | None = None
    tags: Mapping[str, str | int] | None = field(default=None, hash=False)
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)
    expires_at: datetime | None = None
    expires_in: float | timedelta | None = None
    notify: bool | None = None

    def __post_init__(self) -> None:
        Task.__post_init__(self)  # a dataclass with slots is another class than the one that super() would know
        check_options(options_of(self, {}), self.module_path)

    def using(self, **changes: Any) -> SteveTask:
        """The same task with other values: `priority`, `queue_name`, `run_after`, `backend`, and the keywords above. None: as
        before. Raises InvalidTask and TypeError."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def __reduce__(self) -> tuple[Any, ...]:
        # As Django 6.1 does. What the function's module has under its name is the task, so a function cannot be pickled.
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "func"}
        return _rebuilt, (type(self), self.module_path, values)


def _rebuilt(kind: type[SteveTask], path: str, values: dict[str, Any]) -> SteveTask:
    try:
        return kind(func=import_string(path).func, **values)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{path} is no task here, or cannot be imported") from error


def options_of(task: Any, stated: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of `create` for a job of this task. `stated`: what the settings say; the task's own word counts more."""
    if not isinstance(task, SteveTask):
        return dict(stated)
    own = {name: value for name in OPTIONS if (value := getattr(task, name)) is not None}
    return {**stated, **own} if stated else own


def for_call(options: dict[str, Any], args: Any, kwargs: Any) -> dict[str, Any]:
    """The keywords for a job that calls the task with these arguments."""
    if callable(key := options.get("unique")):
        options["unique"] = key(*args, **kwargs)
        if options["unique"] is None:
            del options["unique"]
    return options


def check_options(options: Mapping[str, Any], where: str) -> None:
    """Raises InvalidTask for the first keyword that cannot be. `where`: what begins the message."""
    if wrong := [name for name in options if name not in OPTIONS]:
        raise InvalidTask(f"{where}: {wrong[0]!r} is no keyword of a task: there are {', '.join(OPTIONS)}")
    if (conflict := options.get("on_conflict")) not in (None, *CONFLICTS):
        raise InvalidTask(f"{where}: on_conflict must be one of {', '.join(CONFLICTS)}")
    if conflict is not None and options.get("unique") is None:
        raise InvalidTask(f"{where}: on_conflict needs unique")
    given = {name: value for name, value in options.items() if name != "on_conflict" and value is not None}
    if callable(given.get("unique")):
        given["unique"] = "a key"
    if not given:
        return
    try:
        _checker().statement("a.task", **given)  # it checks the keywords, and sends nothing
    except (TypeError, ValueError) as error:
        raise InvalidTask(f"{where}: {error}") from None


@cache
def _checker() -> JobManager:
    """A manager that is never connected."""
    return JobManager("")
