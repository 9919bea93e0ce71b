"""Tells the listeners of jobs that a call in this process has cancelled before they ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from steve._engine.events.listeners import Listeners
from steve.job import Job

if TYPE_CHECKING:
    from steve._engine.engine import Engine

TICK = 0.1
"""For so many seconds a wait does not notice that the manager stops."""


class CallEvents:
    def __init__(self, *, engine: Callable[[], Engine | None], listeners: Listeners) -> None:
        """`engine()`: the engine that runs, or None."""
        self._engine = engine
        self._listeners = listeners

    def wants_cancelled(self) -> bool:
        """Whether a listener may want to know of a job that a call cancels."""
        return self._engine() is not None and self._listeners.want_done()

    def on_cancelled(self, jobs: Sequence[Job]) -> None:
        """Calls have cancelled these jobs before they ran."""
        if (engine := self._engine()) is not None:
            for job in jobs:
                engine.commits.on_cancelled(job)

    def wait_for_listeners(self) -> None:
        """Wait while more events wait for slow listeners than there should be."""
        while (engine := self._engine()) is not None and engine.commits.is_full(TICK):
            pass
