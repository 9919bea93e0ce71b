"""Task: a function whose calls can be stored as jobs. `manager.task` makes one of a function.

A task stands on `create` and on handlers and uses nothing else: `create` stores a job whose type is the name of the task and
whose payload is the arguments, and the handler of that type calls the function with them. `_model/arguments.py` turns arguments
into a payload and back.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from steve._model.arguments import Arguments
from steve.errors import InvalidJob
from steve.job import Job, NewJob, OnConflict
from steve.retry import RetryPolicy

P = ParamSpec("P")
R = TypeVar("R")


ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]

_OF_CREATE = ("bind", "connection", "notify", "on_done")
"""Options that `create` takes and a NewJob does not have."""


class TaskPort(Protocol):
    """What a task asks the manager."""

    @property
    def create(self) -> Callable[..., Job]: ...

    @property
    def create_many(self) -> Callable[..., list[Job]]: ...


class Task(Generic[P, R]):
    """A function that jobs call. Called plainly, it is still the function.

    The decorator `manager.task` makes it. Arguments are bound to the function's parameters when a job is created: a wrong call
    is a TypeError there, and defaults are filled in. Parameters may be of any type that JSON has, and, if they are annotated, a
    dataclass, named tuple, TypedDict, Enum or pydantic model, a datetime, date, time, timedelta, UUID or Decimal, and lists,
    tuples, sets, dicts and `| None` of these. A payload that cannot be decoded when the job runs fails the job at once, with an
    error that names the parameter.
    """

    def __init__(self, function: Callable[P, R], type: str | None, manager: TaskPort, options: Mapping[str, Any], /) -> None:
        self.type = qualified(function) if type is None else type
        """The type of its jobs."""
        self._function = function
        self._manager = manager
        self._options = options
        self._arguments = Arguments(function, self.type)
        self.handler = _handler(function, self._arguments)
        """Runs its jobs: calls the function with the arguments in a job's payload."""
        functools.update_wrapper(self, function)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def __reduce__(self) -> str:
        return str(self._function.__qualname__)  # pickled by its name, as a function is

    def __repr__(self) -> str:
        return f"<task {self.type}>"

    def create(self, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Store a job that calls the function with these arguments.

        Raises TypeError for arguments that do not fit the parameters, and what `JobManager.create` raises.
        """
        return self._manager.create(self.type, self._arguments.encode(args, kwargs), **self._options)

    def new_job(self, /, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """The job as `create` would store it, for `create_many` of this task or of the manager.

        Raises TypeError as `create` does, and if there are options that belong to a call and not to a job.
        """
        if wrong := [name for name in _OF_CREATE if name in self._options]:
            raise TypeError(f"{self.type}: {wrong[0]} is an option of a call of create or create_many, not of a NewJob")
        return NewJob(self.type, self._arguments.encode(args, kwargs), **self._options)

    def create_many(self, calls: Iterable[NewJob | tuple[Any, ...] | Mapping[str, Any]], /) -> list[Job]:
        """Store many jobs at once, all or none. Returns them in the order given.

        Each of `calls` is a tuple of positional arguments, a mapping of keyword arguments, or what `new_job` made, which lets a
        type checker see the arguments. Raises what `create` raises; errors name the place: `calls[3]: ...`.
        """
        if "on_done" in self._options:
            raise TypeError(f"{self.type}: on_done is an option of create, for a single job, not of create_many")
        if isinstance(calls, (str, bytes, Mapping)) or not isinstance(calls, Iterable):
            raise TypeError(f"calls must be an iterable of tuples, mappings or NewJobs, not {type(calls).__name__}")
        news = [self._called(call, f"calls[{position}]") for position, call in enumerate(calls)]
        return self._manager.create_many(news, **self._options)

    def _called(self, call: object, place: str) -> NewJob:
        if isinstance(call, NewJob):
            if call.type != self.type:
                raise InvalidJob(f"{place}: is a job of the type {call.type!r}, not {self.type!r}")
            return call
        if not isinstance(call, (tuple, Mapping)):
            raise TypeError(f"{place}: must be a tuple of arguments, a mapping or a NewJob, not {type(call).__name__}")
        try:
            payload = self._arguments.encode(call, {}) if isinstance(call, tuple) else self._arguments.encode((), dict(call))
        except TypeError as error:
            raise TypeError(f"{place}: {error}") from None
        return NewJob(self.type, payload)

    def options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        backoff_strategy: str | RetryPolicy | None = None,
        run_at: datetime | None = None,
        delay: float | timedelta | None = None,
        unique: str | None = None,
        on_conflict: OnConflict | None = None,
        unique_for: float | timedelta | None = None,
        tags: dict[str, str | int | bool] | None = None,
        metadata: dict[str, Any] | None = None,
        expires_at: datetime | None = None,
        expires_in: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
        on_done: Callable[[Job], Any] | None = None,
        notify: bool | None = None,
        connection: object = None,
        bind: object = None,
    ) -> Task[P, R]:
        """The same task, whose jobs are created with these keywords of `JobManager.create`, too. None: as before."""
        more = given(
            queue=queue,
            priority=priority,
            max_attempts=max_attempts,
            backoff_strategy=backoff_strategy,
            run_at=run_at,
            delay=delay,
            unique=unique,
            on_conflict=on_conflict,
            unique_for=unique_for,
            tags=tags,
            metadata=metadata,
            expires_at=expires_at,
            expires_in=expires_in,
            timeout=timeout,
            on_done=on_done,
            notify=notify,
            connection=connection,
            bind=bind,
        )
        return Task(self._function, self.type, self._manager, {**self._options, **more})


def _handler(function: Callable[..., R], arguments: Arguments) -> Callable[[Job], R]:
    """The handler of a task's jobs. It knows nothing of the manager: the registry, which the manager holds, holds it."""

    def call(job: Job) -> R:
        positional, keywords = arguments.decode(job.payload)
        return function(*positional, **keywords)

    return call


def given(**options: Any) -> dict[str, Any]:
    """Those that are not None. `create` and `handler` see only these."""
    return {name: value for name, value in options.items() if value is not None}


def qualified(function: Callable[..., Any]) -> str:
    """module.qualname. In a program that was started with `python -m`, `__main__` stands for the module that other processes
    import by its name."""
    try:
        module, name = function.__module__, function.__qualname__
    except AttributeError:
        raise TypeError(f"the task has no name of its own, since it is {type(function).__name__}: give it name=") from None
    if module == "__main__":
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        module = module if spec is None else spec.name
    return f"{module}.{name}"
