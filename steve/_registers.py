"""What a manager is told by decorators, before it starts or while it runs: handlers and listeners. `JobManager` is one of
these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ._health import HealthListener, Watch
from .handlers import Handler, Handlers, check_type
from .listeners import Kind, Listener, Listeners, check_types

H = TypeVar("H", bound=Handler)
L = TypeVar("L", bound=Listener)
W = TypeVar("W", bound=HealthListener)


class Registers(ABC):
    def __init__(self, handler: Handler | None, handlers: Mapping[str, Handler] | None) -> None:
        self._handlers = Handlers(handler, handlers)
        self._listeners = Listeners()
        self._watch = Watch()

    @abstractmethod
    def _handlers_changed(self) -> None:
        """Workers at work are to ask for other types now."""

    # -- handlers -------------------------------------------------------------------------------------------------------

    def handler(self, type: str) -> Callable[[H], H]:
        """Decorator: this function does the jobs of that type. Raises ValueError when the type has a handler already."""
        check_type(type)

        def register(function: H) -> H:
            self._handlers.add(type, function)
            self._handlers_changed()
            return function

        return register

    def set_handler(self, type: str, handler: Handler | None) -> None:
        """Give the type this handler, in place of any other; None: take it away."""
        self._handlers.set(type, handler)
        self._handlers_changed()

    def has_handler(self, type: str) -> bool:
        """Whether the type has a handler of its own."""
        return self._handlers.has(type)

    def reset_handlers(self) -> None:
        """Take all handlers away, but the fallback given to the constructor."""
        self._handlers.clear()
        self._handlers_changed()

    # -- listeners ------------------------------------------------------------------------------------------------------

    def on_success(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """Call `callback(job)` after each job of that type (a list: of these; None: of all) that this process completed.

        Told on one thread, after the commit, in the order of the commits, once; not when the process dies in between.
        Returns a callable that removes the listener and is a context manager. Without `callback`: a decorator.
        """
        return self._listen("success", type, callback)

    def on_failure(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """The same for jobs that ended `failed`. An error that will be retried is none."""
        return self._listen("failure", type, callback)

    def on_done(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """The same for both."""
        return self._listen("done", type, callback)

    def on_attempt(self, type: str | Iterable[str] | None, callback: Listener | None = None) -> Any:
        """The same for every attempt that begins (job.status `running`) and ends (`pending`: will be retried, `completed`,
        `failed`); `callback(job, attempt)`."""
        return self._listen("attempt", type, callback)

    def _listen(self, kind: Kind, types: str | Iterable[str] | None, callback: Listener | None) -> Any:
        if callback is not None:
            return self._listeners.add(kind, types, callback)
        check_types(types)

        def register(function: L) -> L:
            self._listeners.add(kind, types, function)
            return function

        return register

    # -- health ---------------------------------------------------------------------------------------------------------

    def on_unhealthy(self, callback: W) -> W:
        """Call `callback(health)`, once, when the started manager finds that it does not do its work; see `health()`. It looks
        every second, on a thread of its own. May be used as a decorator."""
        self._watch.add(False, callback)
        return callback

    def on_healthy(self, callback: W) -> W:
        """The same for when it does again."""
        self._watch.add(True, callback)
        return callback
