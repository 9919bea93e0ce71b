"""Makes a TaskResult of a job and its attempts."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from inspect import isclass
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from steve import Attempt, AttemptStatus, Job, Status
from steve.contrib.django.tasks._django import TaskError, TaskResult, TaskResultStatus
from steve.contrib.django.tasks.calls import Call
from steve.contrib.django.tasks.errors import ReturnValueNotStorable

STATUSES: dict[str, Any] = {
    Status.RUNNING: TaskResultStatus.RUNNING,
    Status.COMPLETED: TaskResultStatus.SUCCESSFUL,
    Status.FAILED: TaskResultStatus.FAILED,
    Status.CANCELLED: TaskResultStatus.FAILED,
}
"""A job with another status has not ended and does not run: it is READY, also while it waits to be tried again."""

UNKNOWN = "builtins.Exception"
_NAMES: dict[str | None, str] = {
    None: UNKNOWN,
    f"{ReturnValueNotStorable.__module__}.{ReturnValueNotStorable.__qualname__}": "builtins.TypeError",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SteveTaskError(TaskError):
    """The error of an attempt. A class that this process cannot import counts as Exception."""

    @property
    def exception_class(self) -> type[BaseException]:
        try:
            found = import_string(self.exception_class_path)
        except ImportError:
            return Exception
        return found if isclass(found) and issubclass(found, BaseException) else Exception


def result_of(job: Job, task: Any, call: Call, attempts: Sequence[Attempt]) -> Any:
    """`attempts`: those of the job, that which is under way included; none if it has not begun."""
    began = job.started_at
    last = None
    if attempts:
        last = attempts[-1].started_at
        began = began or attempts[0].started_at
    result = TaskResult(
        task=task,
        id=str(job.uid),
        status=STATUSES.get(job.status, TaskResultStatus.READY),
        enqueued_at=_shown(job.created_at),
        started_at=_shown(began),
        finished_at=_shown(job.completed_at),
        last_attempted_at=_shown(last),
        args=call.args,
        kwargs=call.kwargs,
        backend=call.backend,
        errors=_errors(job, attempts),
        worker_ids=[attempt.process for attempt in attempts],
    )
    object.__setattr__(result, "_return_value", job.result)
    return result


def attempt_here(job: Job) -> Attempt:
    """The attempt that this process makes, or has made, of the job."""
    status = AttemptStatus.RUNNING if job.completed_at is None else AttemptStatus.SUCCESS
    started_at = job.started_at if job.started_at is not None and job.attempts == 1 else job.claimed_at
    return Attempt(job.uid, job.attempts, _process(), started_at or job.created_at, job.completed_at, status, None, None)


def _errors(job: Job, attempts: Sequence[Attempt]) -> list[Any]:
    errors = [
        _error(attempt.error_type, attempt.error_details or attempt.error_message)
        for attempt in attempts
        if attempt.error_message is not None
    ]
    if job.status == Status.CANCELLED and (not attempts or attempts[-1].status != AttemptStatus.CANCELLED):
        # It was cancelled before it began, or while it waited to be tried again: no attempt says so.
        kind = "steve.Expired" if (job.error or "").startswith("Expired") else "steve.Cancelled"
        errors.append(_error(kind, job.error))
    return errors


def _error(kind: str | None, text: str | None) -> Any:
    return SteveTaskError(exception_class_path=_NAMES.get(kind) or kind, traceback=text or "")


def _shown(at: datetime | None) -> datetime | None:
    """The time as Django shows it: with USE_TZ false it is naive."""
    return at if at is None or settings.USE_TZ else timezone.make_naive(at)


def _process() -> str:
    """How steve calls this process in `history()`."""
    return f"{_host()}:{os.getpid()}"


@cache
def _host() -> str:
    return socket.gethostname().encode("ascii", "backslashreplace").decode()
