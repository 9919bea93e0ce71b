"""The decorator `manager.cron`: makes a function the handler of its type, or takes a task, and adds a schedule for its jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from steve._client.schedules import Schedules, When
from steve._engine.registry import Registry
from steve._engine.work.handlers import check_handler
from steve.errors import InvalidJob
from steve.job import NewJob
from steve.tasks import Task, qualified


class Cron:
    """What the decorator was given."""

    def __init__(
        self,
        *,
        registry: Registry,
        schedules: Schedules,
        when: When,
        job: tuple[str | None, object],
        name: str | None,
        options: Any,
    ) -> None:
        """`job`: the type and the payload."""
        self._registry = registry
        self._schedules = schedules
        self._when = when
        self._type, self._payload = job
        self._name = name
        self._options: Mapping[str, Any] = options

    def decorator(self) -> Callable[[Any], Any]:
        return self._schedule

    def _schedule(self, function: Any) -> Any:
        if isinstance(function, Task):
            new = replace(self._job_of(function), **self._options)
        else:
            check_handler(function)
            made = qualified(function) if self._type is None else self._type
            new = NewJob(made, self._payload, **self._options)  # type: ignore[arg-type]  # it is checked below
        # All that may be wrong shows before the handler is registered, so that nothing is left behind.
        with self._schedules.reserved(self._define(new)):
            if not isinstance(function, Task):
                self._register(made, function)
            # What was said of the type when its handler was registered holds for the schedule's jobs, too.
            self._schedules.add(self._define(new))
        return function

    def _register(self, type: str, function: Any) -> None:
        handlers = self._registry.handlers
        if not (handlers.has(type) and handlers.get(type) is function):
            self._registry.handler(type)(function)

    def _define(self, new: NewJob) -> Any:
        return self._schedules.define(new.type if self._name is None else self._name, self._when, new)

    def _job_of(self, task: Task[..., Any]) -> NewJob:
        if self._type not in (None, task.type):
            raise ValueError(f"the task's type is {task.type!r}, not {self._type!r}: leave type= out")
        arguments = {} if self._payload is None else self._payload
        if not isinstance(arguments, dict):
            raise InvalidJob(f"payload must be a dict of the task's arguments, not {type(arguments).__name__}")
        return task.new_job(**arguments)
