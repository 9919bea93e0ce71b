"""SteveBackend: enqueues tasks as jobs, and finds their results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID
from weakref import WeakSet

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from steve import Job, JobManager
from steve.contrib.django._managers import manager_for
from steve.contrib.django.tasks import work
from steve.contrib.django.tasks._django import (
    BaseTaskBackend,
    InvalidTask,
    TaskResultDoesNotExist,
    normalize_json,
    signals,
    task_backends,
)
from steve.contrib.django.tasks.calls import OTHER, TAG, Call, as_enqueued, call_of, task_at
from steve.contrib.django.tasks.discovery import discover, discovered
from steve.contrib.django.tasks.errors import NotATask
from steve.contrib.django.tasks.results import result_of
from steve.contrib.django.tasks.task import SteveTask, check_options, for_call, options_of

_importable: WeakSet[Any] = WeakSet()
"""The functions whose tasks workers can import."""


class SteveBackend(BaseTaskBackend):
    """A backend of Django's tasks. `OPTIONS`: `database`, an alias of DATABASES, by default the one that steve uses; `tasks`,
    the keywords of SteveTask for tasks by their paths.

    Django makes one anew in each thread, and in each asyncio task: what is costly belongs to the manager.
    """

    task_class = SteveTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self._stated: Mapping[str, Mapping[str, Any]] = self.options.get("tasks", {})

    @property
    def manager(self) -> JobManager:
        """The manager of its jobs, with handlers for the tasks. It opens no connection."""
        manager = manager_for(self.options.get("database"))
        work.install(manager, type(self), discovered())
        return manager

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Create a job that runs the task, in the transaction that is open on Django's connection. Returns its TaskResult.

        Raises InvalidTask, TypeError for arguments that JSON cannot hold, and what `JobManager.create` raises.
        """
        self.validate_task(task)
        path = _checked_path(task)
        call = Call(path, normalize_json(list(args)), normalize_json(dict(kwargs)), self.alias, task.run_after)
        is_other = path not in discovered()
        options = for_call(options_of(task, self._stated.get(path, {})), call.args, call.kwargs)
        if is_other:
            options["tags"] = {TAG: path, **(options.get("tags") or {})}
        if task.run_after is not None:
            options["run_at"] = task.run_after if timezone.is_aware(task.run_after) else timezone.make_aware(task.run_after)
        job = self.manager.create(
            OTHER if is_other else path,
            call.payload(is_other=is_other),
            queue=task.queue_name,
            priority=int(task.priority),
            **options,
        )
        if job.duplicate and options.get("on_conflict") != "replace":
            return self._result(job)  # nothing was enqueued
        result = self._result(job) if job.duplicate else result_of(job, task, call, ())
        signals.task_enqueued.send_robust(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """The TaskResult of the job with this uid, from the database that jobs are written to.

        Raises TaskResultDoesNotExist if there is none that calls a task; ImportError if this process cannot import the task.
        """
        try:
            uid = UUID(result_id)
        except (AttributeError, TypeError, ValueError):
            raise TaskResultDoesNotExist(result_id) from None
        job = self.manager.find(uid)
        if job is None:
            raise TaskResultDoesNotExist(result_id)
        return self._result(job)

    def _result(self, job: Job) -> Any:
        call = call_of(job)
        if call is None:
            raise TaskResultDoesNotExist(str(job.uid))
        try:
            task = as_enqueued(task_at(call.path), job, call)
        except NotATask:
            raise TaskResultDoesNotExist(str(job.uid)) from None
        # A job that was never claimed has no attempts: that saves a statement.
        attempts = self.manager.history(job, running=True) if job.attempts else []
        return result_of(job, task, call, attempts)

    def check(self, **kwargs: Any) -> Iterator[checks.CheckMessage]:
        yield from super().check(**kwargs)
        where = f"TASKS[{self.alias!r}]"
        if not apps.is_installed("steve.contrib.django"):
            yield checks.Error(
                f"{where} is steve's backend, and steve's app is not installed",
                hint='Put "steve.contrib.django" into INSTALLED_APPS.',
                id="steve.E101",
            )
        if wrong := [name for name in self.options if name not in ("database", "tasks")]:
            yield checks.Error(
                f"{where}: there is no option {wrong[0]!r}", hint="The OPTIONS are database and tasks.", id="steve.E102"
            )
        for path, options in self._stated.items():
            try:
                check_options(options, f'{where}["OPTIONS"]["tasks"][{path!r}]')
            except InvalidTask as error:
                yield checks.Error(str(error), id="steve.E103")
        if (alias := self.options.get("database")) is not None and alias not in settings.DATABASES:
            yield checks.Error(f"{where}: there is no database {alias!r} in DATABASES", id="steve.E104")


def install_all() -> None:
    """Find the tasks of the apps, and register their handlers with the managers of all backends of this kind."""
    discover()
    for alias in task_backends.settings:
        with suppress(ImproperlyConfigured):  # Django's checks say what is wrong with the settings, and when they are run
            if isinstance(backend := task_backends[alias], SteveBackend):
                backend.manager  # noqa: B018 - asking for it registers them


def _checked_path(task: Any) -> str:
    """The path of the task. Raises InvalidTask if no worker could find it there."""
    path: str = task.module_path
    function = task.func
    if function in _importable:
        return path
    if function.__module__ == "__main__":
        raise InvalidTask(f"{path} is in the program itself, where no worker finds it: move the task into a module")
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    if getattr(found, "func", None) is not function:
        raise InvalidTask(f"{path} is not this task, so no worker could find it: leave the task under the name of its function")
    _importable.add(function)
    return path
