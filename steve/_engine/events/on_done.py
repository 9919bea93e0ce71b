"""Drops the on_done= of jobs that another process has finished, because this process gets no event for them."""

from __future__ import annotations

from contextlib import suppress

from steve._database.failures import DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._database.statements.jobs import JobStatements
from steve._engine.events.dispatcher import Dispatcher
from steve._engine.events.listeners import Listeners
from steve._engine.upkeep.periodic import Duty
from steve._model.settings import Settings


class ForgetEndedElsewhere:
    def __init__(
        self,
        *,
        listeners: Listeners,
        dispatcher: Dispatcher,
        connection: LoopConnection,
        statements: JobStatements,
        settings: Settings,
    ) -> None:
        self._listeners = listeners
        self._dispatcher = dispatcher
        self._connection = connection
        self._statements = statements
        self._interval = settings.lease
        self._most = settings.tuning.on_done_most
        self._put_before = 0  # how many events had been put into the dispatcher's queue at the last call

    def duties(self) -> list[Duty]:
        return [Duty("forget on_done= of jobs that ended elsewhere", self._interval, self._forget)]

    def _forget(self) -> None:
        uids = self._listeners.waiting_once()[: self._most]
        put, told = self._dispatcher.progress()
        if told < self._put_before:
            return  # an event that was in the queue at the last call has not been told yet
        self._put_before = put
        if uids:
            with suppress(DatabaseFailure):
                found = self._connection.call(lambda ours: self._statements.find_open(ours, uids))
                self._listeners.drop_ended(set(uids) - found)
