"""How an engine ends: each stage ends the next one, in the order in which a job moves."""

from __future__ import annotations

import threading

from steve._database.failures import Connection, InDoubt
from steve._database.loop_connection import LoopConnection
from steve._engine.parts import Parts
from steve._runtime.log import logger


class Ending:
    """Each `on_...` method is called when a stage has ended, or when the engine was asked to stop, and ends what follows."""

    def __init__(self, *, process_id: int, shutdown_grace: float) -> None:
        self.parts: Parts
        self.has_ended = threading.Event()
        self._process_id = process_id
        self._shutdown_grace = shutdown_grace

    def is_anything_owed(self) -> bool:
        """Whether a handler runs, or an outcome waits to be written."""
        return len(self.parts.running) > 0 or self.parts.settler.waiting() > 0

    def on_stop(self) -> None:
        """The maintenance thread calls this, because the jobs in the buffer must be given back at once and all workers may be
        busy."""
        self.parts.abandonment.begin()
        self.parts.running.signals.stop()
        self.parts.pools.stop()

    def on_last_worker(self) -> None:
        """No handler runs any more. Claims may be under way."""
        self.parts.settler.set_deadline()

    def on_pools_ended(self) -> None:
        """All that was claimed has its verdict."""
        self.parts.queue.end()

    def on_all_told(self) -> None:
        """All jobs are settled and all events told: end the other components. The last of them, the maintenance thread, breaks
        connections whose statement has no answer, so it ends after the last statement."""
        parts = self.parts
        *others, last = (component.end for component in parts.components if component.end is not None)
        try:
            # Where there was no pool at last, the scanner may be using the first one.
            claim = parts.pools.connections.take()
            parts.deadlines.end()
            parts.pools.wait_for_hooks()
            for end in others:
                end()
            # A process that may still hold jobs leaves its row, so that another process can rescue them. While the
            # database is away, nothing tries to delete the row: the others see that the session is gone.
            is_away = parts.outage.now()[1] >= self._shutdown_grace / 2
            if not is_away:
                parts.figure_writer.write(claim)  # all jobs are settled by now
            in_doubt = parts.pools.neighbours.in_doubt.exist()
            if in_doubt:
                logger.info("the reply to a claim was lost lately: the row of this process stays, for the rescue of its jobs")
            if not parts.settler.waiting() and not in_doubt and not is_away:
                self._deregister(claim)
        except Exception as error:  # the engine ends whatever was raised, because threads wait for its end
            logger.warning("this process could not be deregistered: %s", error)
        finally:
            last()
            parts.pools.connections.close()
            parts.connections.settle.close()
            self.has_ended.set()

    def _deregister(self, claim: LoopConnection) -> None:
        def deregister(connection: Connection) -> None:
            self.parts.processes.deregister_process(connection, self._process_id)

        # Not the settler's connection: it waits for no lock, and a rescue may hold the row for a moment.
        try:
            claim.call(deregister)
        except InDoubt:  # the connection may have broken long ago, while it was idle: try once more, on a new one
            claim.call(deregister)
