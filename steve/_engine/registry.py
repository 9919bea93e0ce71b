"""What users register with a manager, before it starts or while it runs: handlers, schedules, hooks, and listeners for jobs and
for health."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar
from weakref import WeakMethod

from steve._engine.events.health_listeners import HealthListeners
from steve._engine.events.latency_listeners import LatencyListener, LatencyListeners, check
from steve._engine.events.listeners import TYPE, Kind, Listener, Listeners
from steve._engine.events.stuck_listeners import StuckListeners
from steve._engine.upkeep.thread_hooks import ThreadHooks
from steve._engine.work.handlers import Handler, Handlers, check_type
from steve._model.capture import Capture, capture_of
from steve._model.names import check_types
from steve._model.settings import Settings
from steve._model.terms import HandlerTerms
from steve._runtime.hooks import Hooks
from steve._schedules.in_code import SchedulesInCode

H = TypeVar("H", bound=Handler)
L = TypeVar("L", bound=Listener)


class Registry:
    def __init__(self, *, fallback: Handler | None, handlers: Mapping[str, Handler] | None) -> None:
        self.handlers = Handlers(fallback, handlers)
        self.listeners = Listeners()
        self.health_listeners = HealthListeners()
        self.stuck_listeners = StuckListeners()
        self.latency_listeners = LatencyListeners()
        self.around = Hooks()
        self.around_thread = ThreadHooks()
        self.schedules = SchedulesInCode()
        self._on_change: Callable[[], Callable[[], None] | None] = lambda: None

    def when_handlers_change(self, method: Callable[[], None]) -> None:
        """Call this bound method after each change of the handlers, so that the workers claim the right types.

        Only a weak reference is kept. Otherwise the method's object and the registry would keep each other alive, and the pool
        of connections, which closes with the last reference to the manager, would stay open until the garbage collector runs.
        """
        self._on_change = WeakMethod(method)

    def reset_after_fork(self) -> None:
        self.handlers.reset_after_fork()
        self.listeners.reset_after_fork()
        self.health_listeners.reset_after_fork()
        self.stuck_listeners.reset_after_fork()
        self.latency_listeners.reset_after_fork()
        self.around.reset_after_fork()
        self.around_thread.reset_after_fork()
        self.schedules.reset_after_fork()

    def handler(self, type: str, terms: HandlerTerms | None = None) -> Callable[[H], H]:
        """As `JobManager.handler`."""
        check_type(type)

        def register(function: H) -> H:
            self.handlers.add(type, function, terms)
            self._handlers_changed()
            return function

        return register

    def set_handler(self, type: str, handler: Handler | None, terms: HandlerTerms | None = None) -> None:
        self.handlers.set(type, handler, terms)
        self._handlers_changed()

    def capture_of(self, type: str, settings: Settings) -> Capture | None:
        """What is kept of the runs of jobs of this type. None: nothing."""
        if (terms := self.handlers.terms(type)) is None:
            return capture_of(settings.capture_logs, settings.capture_print)
        return capture_of(settings.capture_logs, settings.capture_print, terms.capture_logs, terms.capture_print)

    def reset_handlers(self) -> None:
        self.handlers.clear()
        self._handlers_changed()

    def _handlers_changed(self) -> None:
        method = self._on_change()
        if method is not None:
            method()

    def listen(self, kind: Kind, types: str | Iterable[str] | None, callback: Listener | None) -> Any:
        """As `JobManager.on_success` and its siblings. Without a callback it returns a decorator."""
        if callback is not None:
            return self.listeners.add(kind, types, callback)
        check_types(TYPE, types)

        def register(function: L) -> L:
            self.listeners.add(kind, types, function)
            return function

        return register

    def listen_to_latency(self, over: float | timedelta, queue: str | None, callback: LatencyListener | None) -> Any:
        """As `JobManager.on_queue_latency`."""
        if callback is not None:
            return self.latency_listeners.add(over, queue, callback)
        check(over, queue)

        def register(function: LatencyListener) -> LatencyListener:
            self.latency_listeners.add(over, queue, function)
            return function

        return register
