"""How an engine ends: each stage ends the next one, in the order in which a job moves."""

from __future__ import annotations

import threading

from steve._database.failures import Connection, InDoubt
from steve._engine.parts import Parts
from steve._runtime.log import logger


class Ending:
    """Its methods are called by the stages, each on the thread of the stage that has ended."""

    def __init__(self, *, process_id: int, shutdown_grace: float) -> None:
        self.parts: Parts
        self.has_ended = threading.Event()
        self._process_id = process_id
        self._shutdown_grace = shutdown_grace

    def is_anything_owed(self) -> bool:
        """Whether a handler runs, or an outcome waits to be written."""
        return len(self.parts.running) > 0 or self.parts.settler.waiting() > 0

    def on_stop(self) -> None:
        """On the thread of the periodic duties: the workers may all be busy, and the buffer must not wait for them."""
        self.parts.abandonment.begin()
        self.parts.workers.stop()
        self.parts.claimer.buffer.give_back()

    def on_last_worker(self) -> None:
        parts = self.parts
        parts.settler.set_deadline()  # first, because the next line may wait for the database
        parts.claimer.end()  # gives back what a claim under way brought
        parts.queue.end()
        parts.threads.end_workers()

    def on_all_told(self) -> None:
        """Everything is settled and told: end the other components. The last one abandons statements without an answer, so it
        ends after the last statement."""
        parts = self.parts
        *others, last = (one for one in parts.components if one.daemon)
        try:
            for component in others:
                component.end()
            # A process that may hold jobs leaves its row, which says whose they are. So does one whose database is away: its
            # session is gone, and the others see that.
            is_away = parts.outage.now()[1] >= self._shutdown_grace / 2
            in_doubt = parts.claimer.in_doubt.exist()
            if in_doubt:
                logger.info("the reply to a claim was lost lately: the row of this process stays, for the rescue of its jobs")
            if not parts.settler.waiting() and not in_doubt and not is_away:
                self._deregister()
        except Exception as error:  # whatever it is, the engine ends: threads wait for that
            logger.warning("this process could not be deregistered: %s", error)
        finally:
            last.end()
            parts.connections.claim.close()
            parts.connections.settle.close()
            self.has_ended.set()

    def _deregister(self) -> None:
        def deregister(connection: Connection) -> None:
            self.parts.processes.deregister_process(connection, self._process_id)

        settle = self.parts.connections.settle
        try:
            settle.call(deregister)
        except InDoubt:  # it may have broken long ago, when nothing was to be settled: once more on a new one
            settle.call(deregister)
