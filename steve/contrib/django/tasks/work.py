"""Runs tasks: registers a handler for each with the manager, and tells Django's signals what becomes of them."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from weakref import WeakSet

from steve import Job, JobManager, Snooze, Status
from steve.contrib.django.tasks._django import NAME, TaskContext, normalize_json, signals
from steve.contrib.django.tasks.calls import OTHER, Call, as_enqueued, call_of, task_at
from steve.contrib.django.tasks.errors import FINAL, NotATask, ReturnValueNotStorable, TaskNotFound
from steve.contrib.django.tasks.results import attempt_here, result_of

PAUSE, PATIENCE = 30.0, 3600.0
"""How many seconds until a task is looked for again that could not be imported, and for how long in all. During a deploy, old
processes take jobs that only the new ones can run."""

_logger = logging.getLogger(NAME)
_installed: WeakSet[JobManager] = WeakSet()


def install(manager: JobManager, sender: type, tasks: Mapping[str, Any]) -> None:
    """Register handlers for these tasks, by path, and for all others. Once for each manager. `sender`: that of the signals."""
    if manager in _installed:
        return
    _installed.add(manager)
    types = [*tasks, OTHER]
    work = Work(manager, sender, types)
    for path, task in tasks.items():
        if not manager.has_handler(path):  # the program may have one of its own
            manager.set_handler(path, work.handler(task), give_up_on=FINAL)
    manager.set_handler(OTHER, work.run_other, give_up_on=FINAL)
    manager.on_failure(types, work.tell_finished)
    manager.around_thread(work.around_thread)


class Work:
    """Of one manager."""

    def __init__(self, manager: JobManager, sender: type, types: Sequence[str]) -> None:
        self._manager = manager
        self._sender = sender
        # To pop an item is atomic: only the thread that gets it adds the listener.
        self._unheard = [types]

    def handler(self, declared: Any) -> Callable[[Job], Any]:
        """The handler of a task that has a type of its own."""

        def run(job: Job) -> Any:
            return self._run(declared, job, _call(job))

        return run

    def run_other(self, job: Job) -> Any:
        """The handler of all other tasks."""
        call = _call(job)
        try:
            declared = task_at(call.path)
        except NotATask:
            raise
        except ImportError as error:
            importlib.invalidate_caches()  # the module may be there at the next look
            raise postponed(call.path, error, job.started_at, datetime.now(UTC)) from None
        return self._run(declared, job, call)

    @contextmanager
    def around_thread(self) -> Iterator[None]:
        """The hook around each thread of the manager."""
        self._listen_if_heard()
        yield

    def _listen_if_heard(self) -> None:
        """Have the manager tell of all tasks that end, not only of those that fail, once somebody sees it: to tell of a job
        takes as long as to run it."""
        if self._unheard and is_heard(signals.task_finished, logging.INFO):
            with suppress(IndexError):
                self._manager.on_done(self._unheard.pop(), self.tell_unless_failed)

    def tell_unless_failed(self, job: Job) -> None:
        if job.status != Status.FAILED:
            self.tell_finished(job)

    def _run(self, declared: Any, job: Job, call: Call) -> Any:
        self._listen_if_heard()
        task = as_enqueued(declared, job, call)
        leading: tuple[Any, ...] = ()
        if task.takes_context or is_heard(signals.task_started, logging.INFO):
            earlier = self._manager.history(job) if job.attempts > 1 else []
            result = result_of(job, task, call, [*earlier, attempt_here(job)])
            signals.task_started.send_robust(sender=self._sender, task_result=result)
            if task.takes_context:
                leading = (TaskContext(task_result=result),)
        returned = task.call(*leading, *call.args, **call.kwargs)
        if returned is None:
            return None
        try:
            return normalize_json(returned)
        except (TypeError, ValueError) as error:
            raise ReturnValueNotStorable(f"{call.path} returned what JSON cannot hold: {error}") from error

    def tell_finished(self, job: Job) -> None:
        """The job of a task has ended, and that is committed."""
        is_success = job.status == Status.COMPLETED
        if not is_heard(signals.task_finished, logging.INFO if is_success else logging.ERROR):
            return
        call = call_of(job)
        if call is None:
            return
        try:
            task = as_enqueued(task_at(call.path), job, call)
        except ImportError:
            return  # there is no TaskResult without a task; the manager's log has the failure
        attempts = [attempt_here(job)] if is_success and job.attempts == 1 else self._manager.history(job)
        signals.task_finished.send_robust(sender=self._sender, task_result=result_of(job, task, call, attempts))


def is_heard(signal: Any, level: int) -> bool:
    """Whether anybody sees what is sent by this signal. Django's own receiver, which is always there, logs at this level. To
    make a TaskResult takes longer than all else that is done around a task."""
    return len(signal.receivers) > 1 or _logger.isEnabledFor(level)


def _call(job: Job) -> Call:
    call = call_of(job)
    if call is None:
        raise NotATask(f"job {job.uid} of the type {job.type!r} is no call of a task: its payload has no args and kwargs")
    return call


def postponed(path: str, error: ImportError, since: datetime | None, now: datetime) -> BaseException:
    """What to raise if the task cannot be imported here. `since`: when the job began for the first time; None: just now."""
    text = f"{path} cannot be imported: {type(error).__name__}: {error}"
    if since is not None and (now - since).total_seconds() >= PATIENCE:
        return TaskNotFound(text)
    return Snooze(PAUSE, text)
