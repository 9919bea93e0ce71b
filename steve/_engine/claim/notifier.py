"""The thread that reads notifications, on a connection of its own. It does nothing else, because a session that listens must
read at once: PostgreSQL sends notifications within a transaction. A client that reads them slowly keeps that transaction open,
which holds back the vacuuming of the whole database.

A notification is only a hint: it wakes the claimer, which looks for jobs itself. If a notification is lost, the next poll finds
the job. A notification `cancel` names jobs that somebody asked to cancel; `liveness/cancels.py` finds them, too. A notification
`wait` says that somebody waits for jobs to end: `settle/awaited.py`. A notification `schedules` says that schedules have
changed: `upkeep/scheduler.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol
from uuid import UUID

from steve._database.backoff import Backoff
from steve._database.failures import Connection, DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._database.statements.notifications import NotificationStatements
from steve._engine.settle.awaited import Awaited
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.scheduler import ScheduleBell
from steve._model.tuning import Tuning
from steve._runtime.log import logger
from steve._runtime.socket_wait import SocketWait


class ListenPort(Protocol):
    """`listen` and `hear` raise DatabaseFailure."""

    def listen(self) -> int | None:
        """Open the connection if it is not open, and listen. Returns the number of its socket, or None if there is a pooler in
        between, which does not pass notifications on."""

    def hear(self) -> list[str]:
        """The payloads of the notifications that have arrived."""

    def close(self) -> None: ...


class HearingPort(Protocol):
    """The engine, as the notifier sees it."""

    awaited: Awaited
    schedules: ScheduleBell

    def cancel_asked(self, uids: Collection[UUID]) -> None:
        """Somebody asked to cancel these jobs of any process."""


class ClaimerPort(Protocol):
    """The claimers, as the notifier sees them."""

    def wake(self, *, full_scan: bool = False) -> None: ...


LOOP = "listening"


class Notifier:
    def __init__(
        self,
        *,
        database: ListenPort,
        claimer: ClaimerPort,
        stand_back: Callable[[], float],
        engine: HearingPort,
        outage: Outage,
        tuning: Tuning,
    ) -> None:
        """`stand_back()`: how many seconds to leave the next notification unread."""
        self._database = database
        self._claimer = claimer
        self._stand_back = stand_back
        self._engine = engine
        self._outage = outage
        self._tuning = tuning
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
                self._claimer.wake(full_scan=True)  # notifications that were sent before are lost
                self.is_listening = True
                self._engine.schedules.ring()
                self._read(descriptor)
            except DatabaseFailure as error:
                self.is_listening = False
                self._outage.failed(LOOP, error)
                self._wait.wait(None, self._backoff.next())
        self.is_listening = False
        self._database.close()
        self._wait.close()

    def _read(self, descriptor: int) -> None:
        """Read notifications until `end()`. Raises DatabaseFailure."""
        while True:
            self._wait.wait(descriptor, self._tuning.listen_check)
            if self._is_ended:
                return
            # Before reading, and not only before the claim, because reading takes processor time too.
            if seconds := self._stand_back():
                self._wait.wait(None, seconds)
            payloads = self._database.hear()
            if not payloads:  # ask the server: an idle connection does not notice that its other end is gone or frozen
                self._database.listen()
                payloads = self._database.hear()
            heard = sorted_payloads(payloads)
            self._engine.awaited.hear(heard.awaited)
            if heard.cancels:
                self._engine.cancel_asked(heard.cancels)
            if heard.schedules:
                self._engine.schedules.ring()
            if heard.wakes:
                self._claimer.wake(full_scan="back" in heard.wakes)


class Heard(NamedTuple):
    """What some notifications say."""

    cancels: list[UUID]
    """The jobs that somebody asked to cancel."""
    wakes: list[str]
    """The payloads that wake the claimer."""
    awaited: float | None = None
    """For how many seconds somebody waits for jobs to end. None: they say nothing about that."""
    schedules: bool = False
    """Whether schedules have changed."""


def sorted_payloads(payloads: Sequence[str]) -> Heard:
    """Anybody may send a notification, so a text that is no uid, or no number, is left out."""
    cancels: list[UUID] = []
    wakes: list[str] = []
    awaited: float | None = None
    schedules = False
    for payload in payloads:
        word, *more = payload.split(" ")
        if word == "cancel":
            for uid in more:
                with suppress(ValueError):
                    cancels.append(UUID(uid))
        elif word == "wait":
            for seconds in filter(str.isdecimal, more[:1]):
                awaited = max(awaited or 0.0, float(seconds))
        elif word == "schedules":
            schedules = True
        else:
            wakes.append(payload)
    return Heard(cancels, wakes, awaited, schedules)


class DatabaseListener:
    """Implements `ListenPort` with SQL statements."""

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
