"""The thread that reads notifications, on its own connection, and does nothing else: a session that listens and does not read
for more than milliseconds holds back the cleaning up of the whole database.

A notification is a hint: it wakes the claimer, which looks for itself. The poll remains for those that are lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from steve._database.backoff import Backoff
from steve._database.failures import Connection, DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._database.statements.notifications import NotificationStatements
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.selector import SocketWait
from steve._model.tuning import Tuning
from steve._runtime.log import logger


class ListenPort(Protocol):
    """`listen` and `hear` raise DatabaseFailure."""

    def listen(self) -> int | None:
        """Open the connection if need be, and listen. Returns the number of its socket; None: a pooler is in between, which
        passes no notifications on."""

    def hear(self) -> list[str]:
        """The payloads that have arrived."""

    def close(self) -> None: ...


class ClaimerPort(Protocol):
    """What is woken."""

    def wake(self, *, full_scan: bool = False) -> None: ...

    def stand_back_seconds(self) -> float: ...


LOOP = "listening"


class Notifier:
    def __init__(
        self,
        *,
        database: ListenPort,
        claimer: ClaimerPort,
        outage: Outage,
        tuning: Tuning,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = database
        self._claimer = claimer
        self._outage = outage
        self._tuning = tuning
        self._sleep = sleep
        self._backoff = Backoff(tuning)
        self._wait = SocketWait()
        self._is_ended = False
        self.is_listening = False

    def end(self) -> None:
        self._is_ended = True
        self._wait.wake()

    def run(self) -> None:
        while not self._is_ended:
            try:
                descriptor = self._database.listen()
                if descriptor is None:
                    logger.warning(
                        "no notification comes through the connection pooler: the poll finds new jobs, and others notice the "
                        "death of this process when its lease is over; with listen_db, a conninfo that leads to PostgreSQL "
                        "itself, both happen at once"
                    )
                    self._outage.worked(LOOP)
                    break
                self._outage.worked(LOOP)
                self._backoff.reset()
                self._claimer.wake(full_scan=True)  # the notifications of the time before are lost
                self.is_listening = True
                self._read(descriptor)
            except DatabaseFailure as error:
                self.is_listening = False
                self._outage.failed(LOOP, error)
                self._wait.wait(None, self._backoff.next())
        self.is_listening = False
        self._database.close()
        self._wait.close()

    def _read(self, descriptor: int) -> None:
        """Until the end."""
        while True:
            self._wait.wait(descriptor, self._tuning.listen_check)
            if self._is_ended:
                return
            # Before reading, not only before the claim: reading takes a processor, too.
            if seconds := self._claimer.stand_back_seconds():
                self._sleep(seconds)
            payloads = self._database.hear()
            if not payloads:  # an idle connection does not notice by itself that the other end is gone or frozen
                self._database.listen()
                payloads = self._database.hear()
            if payloads:
                self._claimer.wake(full_scan="back" in payloads)


class DatabaseListener:
    """`ListenPort` in statements."""

    def __init__(self, *, connection: LoopConnection, statements: NotificationStatements) -> None:
        self._connection = connection
        self._statements = statements

    def listen(self) -> int | None:
        def listen(connection: Connection) -> int | None:
            return connection.fileno() if self._statements.listen(connection) else None

        return None if self._connection.route.has_pooler else self._connection.call(listen)

    def hear(self) -> list[str]:
        return self._connection.call(self._statements.hear)

    def close(self) -> None:
        self._connection.close()
