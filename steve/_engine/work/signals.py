"""What the running handlers of an engine can learn: that it stops, that another process has taken their job, and that somebody
asked to cancel it."""

from __future__ import annotations

import threading
from collections.abc import Collection

from steve._model.claimed import ClaimKey
from steve.run import current_signals


class RunSignals:
    """All runs of an engine share one object: a threading.Event for each run would cost every job a tenth of its time."""

    def __init__(self) -> None:
        # Protects changes of the three below; a thread that only reads them needs no lock. Nothing is called under it.
        self._changed = threading.Condition()
        self._is_stopping = False
        self._lost: frozenset[ClaimKey] = frozenset()
        self._cancelled: frozenset[ClaimKey] = frozenset()

    def stop(self) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def is_stopping(self) -> bool:
        return self._is_stopping

    def lose(self, lost: Collection[ClaimKey], running: Collection[ClaimKey]) -> None:
        """These claims are lost. Forget those that were lost earlier and do not run any more."""
        with self._changed:
            self._lost = self._lost.intersection(running).union(lost)
            self._changed.notify_all()

    def is_lost(self, claim: ClaimKey) -> bool:
        return claim in self._lost

    def cancel(self, asked: Collection[ClaimKey], running: Collection[ClaimKey]) -> None:
        """Somebody asked to cancel these runs. Forget those that were asked earlier and do not run any more."""
        with self._changed:
            self._cancelled = self._cancelled.intersection(running).union(asked)
            self._changed.notify_all()

    def is_cancelled(self, claim: ClaimKey) -> bool:
        return claim in self._cancelled

    def wait(self, claim: ClaimKey, seconds: float) -> bool:
        """Wait at most `seconds` until the engine stops, the job is lost or somebody asks to cancel it. Returns whether one of
        these happened."""

        def is_over() -> bool:
            return self._is_stopping or claim in self._lost or claim in self._cancelled

        with self._changed:
            return self._changed.wait_for(is_over, seconds)

    def are_of_this_run(self) -> bool:
        """Whether the calling code belongs to a handler of this engine."""
        return current_signals() is self
