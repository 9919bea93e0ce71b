"""The registry of handlers: type -> the function that does it. Users fill it through the manager; `_worker` looks
into it at each run, `_pace` asks it before each claim which types this process serves.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .job import Job
from .settings import name_flaw

Handler = Callable[[Job], Any]


class Handlers:
    """Types and their handlers, and one for all other types (`fallback`)."""

    def __init__(self, fallback: Handler | None, handlers: Mapping[str, Handler] | None) -> None:
        if fallback is not None:
            check_handler(fallback)
        if handlers is not None and not isinstance(handlers, Mapping):
            raise TypeError(f"handlers must be a mapping of type to handler, not {type(handlers).__name__}")
        for name, handler in (handlers or {}).items():
            check_type(name)
            check_handler(handler)
        self.fallback = fallback
        # Replaced as a whole by writers, under the lock; readers take the mapping as it is at that moment, without one.
        self._lock = threading.Lock()
        self._by_type: Mapping[str, Handler] = MappingProxyType(dict(handlers or {}))

    def begin_anew(self) -> None:
        """In the child of a fork: a thread that is not here may have held the lock. The mapping is whole at any moment."""
        self._lock = threading.Lock()

    def __contains__(self, type: str) -> bool:
        return self.fallback is not None or type in self._by_type

    def get(self, type: str) -> Handler | None:
        return self._by_type.get(type, self.fallback)

    def has(self, type: str) -> bool:
        """Whether the type has a handler of its own."""
        return type in self._by_type

    def types(self) -> list[str]:
        """Those with a handler of their own."""
        return list(self._by_type)

    def add(self, type: str, handler: Handler) -> None:
        """Raises ValueError when the type has one: two functions for one type is a mistake, unless said (`set`)."""
        check_type(type)
        check_handler(handler)
        with self._lock:
            if type in self._by_type:
                raise ValueError(f"the type {type!r} has a handler already: use set_handler to replace it")
            self._by_type = MappingProxyType({**self._by_type, type: handler})

    def set(self, type: str, handler: Handler | None) -> None:
        check_type(type)
        if handler is not None:
            check_handler(handler)
        with self._lock:
            others = {name: theirs for name, theirs in self._by_type.items() if name != type}
            self._by_type = MappingProxyType(others if handler is None else {**others, type: handler})

    def clear(self) -> None:
        with self._lock:
            self._by_type = MappingProxyType({})


def check_type(name: object) -> None:
    """Raises TypeError or ValueError for what cannot be a job's type."""
    if flaw := name_flaw(name):
        raise (ValueError if isinstance(name, str) else TypeError)(f"a job's type {flaw}")


def check_handler(handler: object) -> None:
    """Raises TypeError for what cannot be called with a job and return when it is done."""
    if not callable(handler):
        raise TypeError(f"a handler must be callable, not {type(handler).__name__}")
    called: Any = handler
    while isinstance(called, functools.partial):
        called = called.func
    if not inspect.isroutine(called):
        called = getattr(called, "__call__", called)  # noqa: B004 - an object's own, which may be async
    name = getattr(handler, "__qualname__", type(handler).__name__)
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError(
            f"{name} is an async function, but handlers run in threads: "
            "make it a plain function, or wrap it: lambda job: asyncio.run(function(job))"
        )
    if inspect.isgeneratorfunction(called):
        raise TypeError(f"{name} is a generator function: called with a job it would run nothing; make it a plain function")
