"""The registry of handlers: which function runs the jobs of which type. Users fill it through the manager. A worker reads it
before each run, and `claim/sizer.py` before each claim.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from steve._model.names import check_name
from steve._model.terms import HandlerTerms
from steve._runtime.copy_on_write import CopyOnWrite
from steve.job import Job

Handler = Callable[[Job], Any]


class Handlers:
    """The handlers by type, and one handler for all other types (`fallback`)."""

    def __init__(self, fallback: Handler | None, handlers: Mapping[str, Handler] | None) -> None:
        if fallback is not None:
            check_handler(fallback)
        if handlers is not None and not isinstance(handlers, Mapping):
            raise TypeError(f"handlers must be a mapping of type to handler, not {type(handlers).__name__}")
        for name, handler in (handlers or {}).items():
            check_type(name)
            check_handler(handler)
        self.fallback = fallback
        self._by_type: CopyOnWrite[Mapping[str, Handler]] = CopyOnWrite(MappingProxyType(dict(handlers or {})))
        # Apart from the handlers: most types have none, and a worker asks for them only after an error.
        self._terms: CopyOnWrite[Mapping[str, HandlerTerms]] = CopyOnWrite(MappingProxyType({}))
        self.with_setup: frozenset[str] = frozenset()
        """The types whose handlers have a timeout, or say what is kept of their runs."""

    def reset_after_fork(self) -> None:
        self._by_type.reset_after_fork()
        self._terms.reset_after_fork()

    def __contains__(self, type: str) -> bool:
        return self.fallback is not None or type in self._by_type.value

    def get(self, type: str) -> Handler | None:
        return self._by_type.value.get(type, self.fallback)

    def has(self, type: str) -> bool:
        """Whether the type has a handler of its own."""
        return type in self._by_type.value

    def types(self) -> list[str]:
        """The types that have a handler of their own."""
        return list(self._by_type.value)

    def terms(self, type: str) -> HandlerTerms | None:
        """What was said when the handler of the type was registered; None: nothing."""
        return self._terms.value.get(type)

    def add(self, type: str, handler: Handler, terms: HandlerTerms | None = None) -> None:
        """Raises ValueError if the type has a handler already, which is probably a mistake. `set` replaces a handler."""
        check_type(type)
        check_handler(handler)

        def add(by_type: Mapping[str, Handler]) -> Mapping[str, Handler]:
            if type in by_type:
                raise ValueError(f"the type {type!r} has a handler already: use set_handler to replace it")
            return MappingProxyType({**by_type, type: handler})

        self._by_type.replace(add)
        self._set_terms(type, terms)

    def set(self, type: str, handler: Handler | None, terms: HandlerTerms | None = None) -> None:
        check_type(type)
        if handler is not None:
            check_handler(handler)

        def set(by_type: Mapping[str, Handler]) -> Mapping[str, Handler]:
            others = {name: other for name, other in by_type.items() if name != type}
            return MappingProxyType(others if handler is None else {**others, type: handler})

        self._by_type.replace(set)
        self._set_terms(type, terms)

    def clear(self) -> None:
        self._by_type.replace(lambda by_type: MappingProxyType({}))
        self._terms.replace(lambda terms: MappingProxyType({}))
        self.with_setup = frozenset()

    def _set_terms(self, type: str, new: HandlerTerms | None) -> None:
        def set(terms: Mapping[str, HandlerTerms]) -> Mapping[str, HandlerTerms]:
            others = {name: other for name, other in terms.items() if name != type}
            left = others if new is None else {**others, type: new}
            self.with_setup = frozenset(name for name, one in left.items() if one.need_setup)
            return MappingProxyType(left)

        if new == HandlerTerms():
            new = None  # nothing was said
        if new is not None or type in self._terms.value:
            self._terms.replace(set)


def check_type(name: object) -> None:
    """Raises TypeError or ValueError if `name` cannot be a job's type."""
    check_name("a job's type", name)


def check_handler(handler: object) -> None:
    """Raises TypeError if `handler` is not callable, or would return before the job is done."""
    if not callable(handler):
        raise TypeError(f"a handler must be callable, not {type(handler).__name__}")
    called: Any = handler
    while isinstance(called, functools.partial):
        called = called.func
    if not inspect.isroutine(called):
        called = getattr(called, "__call__", called)  # noqa: B004 - the object's __call__ may be async
    name = getattr(handler, "__qualname__", type(handler).__name__)
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError(
            f"{name} is an async function, but handlers run in threads: "
            "make it a plain function, or wrap it: lambda job: asyncio.run(function(job))"
        )
    if inspect.isgeneratorfunction(called):
        raise TypeError(f"{name} is a generator function: called with a job it would run nothing; make it a plain function")
