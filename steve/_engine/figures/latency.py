"""Tells the listeners of `on_queue_latency`. The scanner asks the database how long jobs have been due. The thread of the
health watch calls the listeners, since they may be slow. Without a listener nothing is asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from steve._database.failures import DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._database.statements.stats import StatStatements
from steve._engine.events.latency_listeners import LatencyListeners
from steve._engine.upkeep.periodic import Duty
from steve._model.tuning import Tuning
from steve._runtime.log import logger


class QueueLatencies:
    def __init__(
        self,
        *,
        listeners: LatencyListeners,
        statements: StatStatements,
        connection: LoopConnection,
        soon: Callable[[Duty], None],
        tuning: Tuning,
    ) -> None:
        """`soon(duty)` has this done on a thread that may wait."""
        self._listeners = listeners
        self._statements = statements
        self._connection = connection
        self._soon = soon
        self._interval = tuning.latency_check
        self._has_failed = False

    def duties(self) -> list[Duty]:
        return [Duty("check how long jobs wait", self._interval, self.check)]

    def check(self) -> None:
        watches = self._listeners.all()
        if not watches:
            return
        try:
            queues = {watch.queue for watch in watches}
            oldest = self._connection.call(lambda ours: self._statements.oldest_due(ours, queues))
            self._has_failed = False
        except DatabaseFailure as error:
            if not self._has_failed:
                self._has_failed = True
                logger.warning("it is not known how long jobs wait, and will be asked again: %s", error)
            return
        for watch in watches:
            lane, at = oldest[watch.queue]
            seconds = 0.0
            name = None
            if lane is not None and lane.oldest_due is not None:
                seconds = max((at - lane.oldest_due).total_seconds(), 0.0)
                name = str(lane.queue), str(lane.type)
            if (latency := watch.judge(seconds, name)) is not None:
                self._soon(Duty("tell how long jobs wait", 0.0, partial(self._listeners.tell, watch, latency)))
