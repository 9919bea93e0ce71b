"""How a call of a task is written into a job, and read again.

A task that the autodiscovery has found has a type of jobs of its own: its path, `shop.tasks.charge`. Each process with the
same code has found the same tasks, so a process that does not know one does not claim its jobs. All other tasks share the type
OTHER, and the payload and a tag name the task; whoever claims such a job tries to import it. No handler has to take jobs of
types that it does not know, which may be those of other programs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.utils.module_loading import import_string

from steve import Job
from steve.contrib.django.tasks._django import DEFAULT_ALIAS, Task
from steve.contrib.django.tasks.errors import NotATask

OTHER = "django.task"
TAG = "task"


class Call(NamedTuple):
    """A call of a task, as a job has it."""

    path: str
    """Where the task is."""
    args: list[Any]
    kwargs: dict[str, Any]
    backend: str
    """The alias of the backend."""
    run_after: datetime | None

    def payload(self, *, is_other: bool) -> dict[str, Any]:
        """`is_other`: the type of the job does not say which task it is."""
        payload: dict[str, Any] = {"args": self.args, "kwargs": self.kwargs}
        if self.backend != DEFAULT_ALIAS:
            payload["backend"] = self.backend
        if self.run_after is not None:
            payload["run_after"] = self.run_after.isoformat()
        if is_other:
            payload["task"] = self.path
        return payload


def call_of(job: Job) -> Call | None:
    """None: the job calls no task."""
    payload: Any = job.payload
    if not isinstance(payload, dict):  # somebody wrote the row
        return None
    path = payload.get("task") if job.type == OTHER else job.type
    args, kwargs = payload.get("args"), payload.get("kwargs")
    if not isinstance(path, str) or "." not in path or not isinstance(args, list) or not isinstance(kwargs, dict):
        return None
    return Call(path, args, kwargs, str(payload.get("backend", DEFAULT_ALIAS)), _time_of(payload.get("run_after")))


def task_at(path: str) -> Any:
    """The task as it is declared. Raises ImportError; and NotATask, which is one, if there is something else."""
    task = import_string(path)
    if not isinstance(task, Task):
        raise NotATask(f"{path} is no task but {type(task).__name__}: only functions with @task are called")
    return task


def as_enqueued(declared: Any, job: Job, call: Call) -> Any:
    """The task with the queue, priority and time that it was enqueued with. They are not checked again: a queue that the
    settings have lost since must not keep a job from running."""
    as_declared = (declared.priority, declared.queue_name, declared.backend, declared.run_after)
    if as_declared == (job.priority, job.queue, call.backend, call.run_after):
        return declared
    changes = {"priority": job.priority, "queue_name": job.queue, "backend": call.backend, "run_after": call.run_after}
    task = object.__new__(type(declared))
    for name in type(declared).__dataclass_fields__:
        object.__setattr__(task, name, changes[name] if name in changes else getattr(declared, name))
    return task


def _time_of(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
