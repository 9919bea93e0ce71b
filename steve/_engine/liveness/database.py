"""What liveness/ asks of the database. The heartbeat has a connection of its own. Everything else uses the scanner's
connection, because it may wait for locks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from steve._database.failures import Connection
from steve._database.loop_connection import LoopConnections
from steve._database.statements import Statements
from steve._database.statements.processes import Look, Review
from steve._engine.liveness.reconcile import Held
from steve._model.claimed import ClaimKey, Settled
from steve._model.outcome import Verdict
from steve._model.process import Process
from steve._model.settings import Settings


class DatabaseLiveness:
    def __init__(
        self, *, statements: Statements, connections: LoopConnections, process_id: int, name: str, settings: Settings
    ) -> None:
        self._statements = statements.processes
        self._checks = statements.checks
        self._connections = connections
        self._process_id = process_id
        self._name = name
        self._lease = settings.lease
        self._max_crashes = settings.max_crashes
        self._notify = settings.notify

    # -- the heartbeat --------------------------------------------------------------------------------------------------

    def beat(self, *, beat: bool, locked: bool) -> tuple[Look, int]:
        heartbeat = self._connections.heartbeat

        def send(connection: Connection) -> tuple[Look, int]:
            session = heartbeat.session(connection)
            look = self._statements.beat(
                connection, self._process_id, self._name, self._lease, session, beat=beat, locked=locked
            )
            return look, connection.fileno()

        return heartbeat.call(send)

    def is_open(self) -> bool:
        return self._connections.heartbeat.is_open()

    def close(self) -> None:
        self._connections.heartbeat.close()

    def met_server(self, started: float) -> None:
        """The heartbeat's connection leads to a server that started at this time, by the server's clock."""
        self._connections.heartbeat.route.met_server(started)

    # -- the scanner ----------------------------------------------------------------------------------------------------

    def suspect(self, process: Process) -> float | None:
        return self._connections.scan.call(lambda ours: self._statements.suspect_process(ours, process))

    def rescue(self, process: Process, *, dead: bool, reason: str, taken: Collection[int]) -> Sequence[tuple[Verdict, Settled]]:
        def rescue(connection: Connection) -> Sequence[tuple[Verdict, Settled]]:
            return self._statements.rescue_jobs(
                connection, process, dead, reason, taken, max_crashes=self._max_crashes, notify=self._notify
            )

        return self._connections.scan.call(rescue)

    def free(self, claims: Collection[ClaimKey], reason: str) -> Sequence[tuple[Verdict, Settled]]:
        """Take the jobs of these claims away from this process. Returns what became of each job."""

        def free(connection: Connection) -> Sequence[tuple[Verdict, Settled]]:
            return self._statements.free_jobs(
                connection, self._process_id, claims, reason, max_crashes=self._max_crashes, notify=self._notify
            )

        return self._connections.scan.call(free)

    def review(self, held: Callable[[], Held]) -> tuple[Held, Review]:
        """Returns what this process knows that it holds, and what the tables say. `held()` is called after the connection was
        opened and right before the question is sent. So a job that is settled meanwhile is known here and not in the tables,
        which does no harm."""

        def look(connection: Connection) -> tuple[Held, Review]:
            known = held()
            return known, self._statements.review_claims(connection, self._process_id, self._lease)

        return self._connections.scan.call(look)

    def find_held(self, claims: Sequence[ClaimKey]) -> set[ClaimKey]:
        return self._connections.scan.call(lambda ours: self._statements.find_held(ours, claims))

    def check_access(self) -> list[str]:
        return self._connections.scan.call(lambda ours: self._checks.check_access(ours, worker=True))
