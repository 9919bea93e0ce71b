"""Alive or not, wired: this process's heartbeat, the rescue of the others' jobs, what it lost to such a rescue itself, and what
it holds without knowing.

`_engine` makes one, runs `heartbeat.run` on a thread and `work` as a duty of the scanner. The
rules are in `_rescue.py` and `_reconcile.py`, when to beat in `_heartbeat.py`, and what still holds by then in the statements
of `_processes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ._connection import Connection
from ._heartbeat import Heartbeat
from ._outage import Outage
from ._pool import Lines
from ._processes import Look, Process, Processes, Registered
from ._reconcile import Reconcile
from ._rescue import Rescue
from ._worker import Crew
from .errors import Trouble
from .job import Settled
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
        tell: Callable[[Process, Verdict, Settled], None],
    ) -> None:
        """`crew` says what runs here, hears which of that others have taken, and takes up what it did not know of; `tell`
        hears of each job that a rescue failed."""
        self._settings = settings
        self._name = name
        self._process_id = registered.id
        self._lines = lines
        self._outage = outage
        self._crew = crew
        self._processes = Processes(settings.schema)
        self._rescue = Rescue(
            lambda process: lines.scan.call(lambda c: self._processes.suspect_process(c, process)),
            self._take_jobs,
            lambda: lines.scan.call(lambda c: self._processes.adopt_processes(c, settings.lease)),
            tell,
            settings.lease,
        )
        self._reconcile = Reconcile(
            lambda: lines.scan.call(lambda c: self._processes.find_claimed(c, registered.id, [])), crew.held, crew.take_up
        )
        self._server_started = registered.server_started
        self._connected = 0.0
        self._doubtful = False
        self.heartbeat = Heartbeat(
            self._beat, lines.heartbeat.close, self._look, self._doubt, outage, settings.heartbeat, registered.descriptor
        )

    def work(self, *, stopping: bool, slow: bool) -> None:
        """On the scanner's thread. `slow`: dead rows make looking through the table slow."""
        try:
            worked = self._look_for_lost()
            worked = self._reconcile.work() or worked
            if not stopping:  # whom a stopping process told of would not be told for certain
                worked = self._rescue.work() or worked
                # Adopting walks over what the marks avoid.
                worked = (not slow and self._rescue.adopt()) or worked
            if worked or slow:  # nothing is adopted meanwhile, so an adoption that failed says nothing any more
                self._outage.worked("the rescue")
        except Trouble as error:
            self._outage.failed("the rescue", error)

    def _look(self, look: Look, connected: float, unbroken: float) -> None:
        """On the heartbeat's thread."""
        started = self._server_started if look.server_started is None else look.server_started
        if started != self._server_started or connected < self._connected:
            # Another server, perhaps behind a pooler; or this one after a crash: it may have forgotten something.
            self.doubt_everything()
        self._server_started, self._connected = started, connected
        self._rescue.look(look, connected, unbroken)

    def doubt_everything(self) -> None:
        """Others may have jobs that this process runs, and it may hold jobs without knowing. From any thread."""
        self._doubtful = True
        self._reconcile.begin()

    def _doubt(self) -> None:
        """On the heartbeat's thread: others may have taken this process for dead, until the beat that has just been made."""
        self._doubtful = True

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

    def _take_jobs(self, process: Process, dead: bool, reason: str) -> Sequence[tuple[Verdict, Settled]]:
        most, notify = self._settings.max_crashes, self._settings.notify

        def rescue(connection: Connection) -> Sequence[tuple[Verdict, Settled]]:
            return self._processes.rescue_jobs(connection, process, dead, reason, max_crashes=most, notify=notify)

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
