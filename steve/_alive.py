"""Alive or not, wired: this process's heartbeat, the rescue of the others' jobs, what it lost to such a rescue itself, and what
it holds without knowing.

`_engine` makes one, runs `heartbeat.run` on a thread and `work` as a duty of the scanner. The rules are in `_rescue.py` and
`_reconcile.py`, when to beat in `_heartbeat.py`, and what still holds by then in the statements of `_processes.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from ._connection import Connection
from ._heartbeat import Heartbeat
from ._log import logger
from ._outage import Backoff, Outage
from ._pool import Lines
from ._processes import Look, Process, Processes, Registered, Review
from ._reconcile import Claims, Held, Reconcile
from ._rescue import Rescue, Vantage
from ._worker import Crew
from .errors import Trouble
from .job import Settled, Status
from .outcome import Verdict
from .settings import Settings


class Alive:
    def __init__(
        self,
        settings: Settings,
        name: str,
        registered: Registered,
        lines: Lines,
        outage: Outage,
        crew: Crew,
        held: Callable[[], Held],
        tell: Callable[[str, Verdict, Settled], None],
    ) -> None:
        """`crew` says what runs here and hears which of that others have taken; `held` says what this process knows of; `tell`
        hears of each job that a rescue failed, with the name of the process that had held it."""
        self._settings = settings
        self._name = name
        self._process_id = registered.id
        self._lines = lines
        self._outage = outage
        self._crew = crew
        self._tell = tell
        self._processes = Processes(settings.schema)
        self._rescue = Rescue(
            lambda process: lines.scan.call(lambda c: self._processes.suspect_process(c, process)), self._take_jobs, tell
        )
        self._held = held
        self._reconcile = Reconcile(self._review, self._free, settings.lease)
        self._backoff = Backoff()
        self._not_before = 0.0
        # When the server started, for how long it had run when that was first seen here, and when that was. By the own clock
        # from then on: the server's may be set.
        self._server_started = registered.server_started
        self._server_up = 0.0
        self._server_seen_at: float | None = None
        self._connected = 0.0
        self._doubtful = False
        self.access: list[str] = []
        """What keeps this role from its work, a sentence each: rights that it lost, row level security."""
        self._restricted = registered.restricted
        self._look_at_access = False
        self._access_at = time.monotonic()
        self.heartbeat = Heartbeat(
            self._beat,
            lines.heartbeat.close,
            lines.heartbeat.is_open,
            self._look,
            self._doubt,
            outage,
            settings.heartbeat,
            registered.descriptor,
        )

    def work(self, *, stopping: bool) -> None:
        """On the scanner's thread."""
        if time.monotonic() < self._not_before:
            return
        try:
            self._check_access()
            worked = self._look_for_lost()
            worked = self._reconcile.work(self._held().settled) or worked
            if not stopping:  # whom a stopping process told of would not be told for certain
                worked = self._rescue.work() or worked
            if worked:
                self._outage.worked("the rescue")
                self._backoff.reset()
        except Trouble as error:
            self._not_before = time.monotonic() + self._backoff.next()
            self._outage.failed("the rescue", error)
            self._reconcile.begin()  # whose question tells when it is over

    def _look(self, look: Look, connected: float, unbroken: float) -> None:
        """On the heartbeat's thread."""
        started = self._server_started if look.server_started is None else look.server_started
        if started != self._server_started or connected < self._connected:
            # Another server, perhaps behind a pooler; or this one after a crash: it may have forgotten something.
            self.doubt_everything()
        self._lines.heartbeat.pooler.met_server(started)
        now = time.monotonic()
        if self._server_seen_at is None or started != self._server_started:
            self._server_up, self._server_seen_at = max(look.seen_at - started, 0.0), now
        self._server_started, self._connected = started, connected
        if look.restricted is not None:
            # What is restricted may be enough: then once a lease.
            again = look.restricted and now >= self._access_at + self._settings.lease
            self._look_at_access = self._look_at_access or again or look.restricted is not self._restricted
            self._restricted = look.restricted
        self._rescue.look(look.others, Vantage(connected, unbroken, self._server_up + now - self._server_seen_at))

    def doubt_everything(self) -> None:
        """Others may have jobs that this process runs, and it may hold jobs without knowing. From any thread."""
        self._doubtful = True
        self._reconcile.begin()

    def doubt_tables(self) -> None:
        """An outcome was dropped: by the tables this process may hold the job still. From any thread."""
        self._reconcile.begin()

    def _doubt(self) -> None:
        """On the heartbeat's thread: others may have taken this process for dead, until the beat that has just been made."""
        self._doubtful = True

    def _check_access(self) -> None:
        if self._look_at_access:
            self._look_at_access = False
            self._access_at = time.monotonic()
            self.access = self._lines.scan.call(lambda c: self._processes.check_access(c, worker=True))

    def _look_for_lost(self) -> bool:
        """Whether there was cause to look which jobs of ours a rescue has taken. No rescue is under way: the beat was made,
        and had to wait for it. Raises Trouble."""
        if not self._doubtful:
            return False
        self._doubtful = False  # before the question: a doubt that arises meanwhile stays
        running = self._crew.claims()
        if running:
            try:
                held = self._lines.scan.call(lambda c: self._processes.find_held(c, running))
            except BaseException:
                self._doubtful = True
                raise
            self._crew.lose(set(running) - held)
        return True

    def _review(self) -> tuple[Held, Claims]:
        def look(connection: Connection) -> tuple[Held, Review]:
            # After the connection was opened, and before the question: what is settled meanwhile is not found.
            held = self._held()
            return held, self._processes.review_claims(connection, self._process_id, self._settings.lease)

        held, review = self._lines.scan.call(look)
        if review.adopted:
            logger.warning("processes without a row hold jobs: %s; if they do not beat, these are rescued", review.adopted)
        return held, review.own

    def _free(self, claims: Claims) -> None:
        most, notify = self._settings.max_crashes, self._settings.notify
        reason = f"JobLost: process {self._name} held the job by the tables and did not run it"

        def free(connection: Connection) -> Sequence[tuple[Verdict, Settled]]:
            return self._processes.free_jobs(connection, self._process_id, claims, reason, max_crashes=most, notify=notify)

        freed = self._lines.scan.call(free)
        if freed:
            logger.warning("this process held %d jobs by the tables and did not run them: they are freed", len(freed))
        for verdict, settled in freed:
            if verdict.status is Status.FAILED:
                logger.error("job %s failed: %s", verdict.job.uid, verdict.error, extra=verdict.job.log_extra())
                self._tell(self._name, verdict, settled)

    def _take_jobs(
        self, process: Process, dead: bool, reason: str, taken: Collection[int]
    ) -> Sequence[tuple[Verdict, Settled]]:
        most, notify = self._settings.max_crashes, self._settings.notify

        def rescue(connection: Connection) -> Sequence[tuple[Verdict, Settled]]:
            return self._processes.rescue_jobs(connection, process, dead, reason, taken, max_crashes=most, notify=notify)

        return self._lines.scan.call(rescue)

    def _beat(self, beat: bool, locked: bool) -> tuple[Look, int]:
        line = self._lines.heartbeat

        def send(connection: Connection) -> tuple[Look, int]:
            session = line.session(connection)
            look = self._processes.beat(
                connection, self._process_id, self._name, self._settings.lease, session, beat=beat, locked=locked
            )
            return look, connection.fileno()

        return line.call(send)
