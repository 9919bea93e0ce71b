"""What the calls of callers ask of the engines: how listeners are told of jobs that a call cancels and, for the waits, how far
the manager is from its end. From any thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steve._engine.events.calls import CallEvents
from steve._engine.registry import Registry
from steve._engine.runner import Runner

if TYPE_CHECKING:
    from steve._engine.engine import Engine


class ForCallers(CallEvents):
    def __init__(self, *, runner: Runner, registry: Registry) -> None:
        super().__init__(engine=runner.engine, listeners=registry.listeners)
        self._runner = runner

    def all_are_busy(self) -> bool:
        """Whether no worker of the running engine is free."""
        engine = self._runner.engine()
        return engine is not None and len(engine.running) >= engine.running.workers

    def own_engine(self) -> Engine | None:
        """The engine that the calling thread belongs to, or for one of whose handlers it works."""
        return next((engine for engine in self._runner.engines if engine.is_own_thread()), None)

    def has_ended(self) -> bool:
        """Whether no engine works any more."""
        return self._runner.has_ended(0)

    @property
    def stops(self) -> int:
        """How often the manager was asked to stop: more after each time."""
        return self._runner.stops

    @property
    def stop_asked_at(self) -> float:
        """When that was last, by time.monotonic()."""
        return self._runner.stop_asked_at
