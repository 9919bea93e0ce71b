"""What liveness/ asks of the database. The heartbeat has a connection of its own. Everything else uses the scanner's
connection, because it may wait for locks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from uuid import UUID

from steve._database.failures import Connection, Refused, Unexplained
from steve._database.loop_connection import LoopConnections
from steve._database.statements import Statements
from steve._database.statements.processes import Look, Review
from steve._engine.liveness.reconcile import Held
from steve._model.claimed import ClaimKey, Settled
from steve._model.outcome import Verdict
from steve._model.presence import Presence
from steve._model.process import Process
from steve._model.settings import Settings


class DatabaseLiveness:
    """Implements `LivenessPort` with SQL statements."""

    def __init__(
        self,
        *,
        statements: Statements,
        connections: LoopConnections,
        process_id: int,
        name: str,
        settings: Settings,
        describe: Callable[[], Presence | None],
    ) -> None:
        """`describe()` returns what this process says of itself; None: nothing new."""
        self._statements = statements.processes
        self._checks = statements.checks
        self._connections = connections
        self._process_id = process_id
        self._name = name
        self._lease = settings.lease
        self._max_crashes = settings.max_crashes
        self._notify = settings.notify
        self._notifications = statements.notifications
        self._listens: Connection | None = None
        self.on_pause: Callable[[], None] = lambda: None
        """Called during a beat, when somebody has paused or resumed jobs."""
        self._describe = describe

    # -- the heartbeat --------------------------------------------------------------------------------------------------

    def beat(self, *, beat: bool, locked: bool, most: int) -> tuple[Look, int]:
        heartbeat = self._connections.heartbeat

        def send(connection: Connection, presence: Presence | None) -> tuple[Look, int]:
            if self._notify and connection is not self._listens and not heartbeat.route.has_pooler:
                # Before the look, which finds what was paused until then. A later notification ends the wait for the next one.
                self._notifications.listen_for_pauses(connection, self.on_pause)
                self._listens = connection
            look = self._statements.beat(
                connection,
                self._process_id,
                self._name,
                self._lease,
                heartbeat.session(connection),
                beat=beat,
                locked=locked,
                most=most,
                presence=presence,
            )
            return look, connection.fileno()

        presence = self._describe() if beat else None
        try:
            return heartbeat.call(lambda ours: send(ours, presence))
        except (Refused, Unexplained):
            if presence is None:
                raise
            # The heartbeat shows that this process lives. What the process says of itself must not keep it from being written.
            return heartbeat.call(lambda ours: send(ours, None))

    def is_open(self) -> bool:
        return self._connections.heartbeat.is_open()

    def close(self) -> None:
        self._listens = None
        self._connections.heartbeat.close()

    def met_server(self, started: float) -> None:
        self._connections.heartbeat.route.met_server(started)

    # -- the scanner ----------------------------------------------------------------------------------------------------

    def suspect(self, process: Process) -> float | None:
        return self._connections.scan.call(lambda ours: self._statements.suspect_process(ours, process))

    def rescue(
        self, process: Process, *, dead: bool, reason: str, taken: Collection[UUID]
    ) -> Sequence[tuple[Verdict, Settled]]:
        def rescue(connection: Connection) -> Sequence[tuple[Verdict, Settled]]:
            return self._statements.rescue_jobs(
                connection, process, dead, reason, taken, max_crashes=self._max_crashes, notify=self._notify
            )

        return self._connections.scan.call(rescue)

    def free(self, claims: Collection[ClaimKey], reason: str) -> Sequence[tuple[Verdict, Settled]]:
        def free(connection: Connection) -> Sequence[tuple[Verdict, Settled]]:
            return self._statements.free_jobs(
                connection, self._process_id, claims, reason, max_crashes=self._max_crashes, notify=self._notify
            )

        return self._connections.scan.call(free)

    def review(self, held: Callable[[], Held]) -> tuple[Held, Review]:
        def look(connection: Connection) -> tuple[Held, Review]:
            known = held()
            return known, self._statements.review_claims(connection, self._process_id, self._lease)

        return self._connections.scan.call(look)

    def find_held(self, claims: Sequence[ClaimKey]) -> set[ClaimKey]:
        return self._connections.scan.call(lambda ours: self._statements.find_held(ours, claims))

    def check_access(self) -> list[str]:
        return self._connections.scan.call(lambda ours: self._checks.check_access(ours, worker=True))
