"""What the calls of callers ask of the engines: whether a listener wants to know of the jobs that they cancel, and, for the
waits, how far the manager is from its end. From any thread."""

from __future__ import annotations

from collections.abc import Sequence

from steve._engine.engine import Engine
from steve._engine.registry import Registry
from steve._engine.runner import Runner
from steve.job import Job


class ForCallers:
    def __init__(self, *, runner: Runner, registry: Registry) -> None:
        self._runner = runner
        self._registry = registry

    def wants_cancelled(self) -> bool:
        """Whether a listener may want to know of a job that a call in this process cancels."""
        return self._runner.engine() is not None and self._registry.listeners.want_done()

    def on_cancelled(self, jobs: Sequence[Job]) -> None:
        """Calls in this process have cancelled these jobs before they ran."""
        if (engine := self._runner.engine()) is not None:
            for job in jobs:
                engine.commits.on_cancelled(job)

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
