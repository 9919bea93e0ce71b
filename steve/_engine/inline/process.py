"""The process of a drain, as others see it.

Where statements are committed, other processes see the jobs that run here. So the drain has a row in `process`, without the
lock of a session, and with a lease that is longer than a test. Then it also takes over the jobs of processes of this machine
that have died: nobody would rescue them while no manager is started.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

from steve._database.failures import Connection, DatabaseFailure
from steve._database.statements.callers import CallersStatements
from steve._engine.claim.pauses import Pauses
from steve._engine.inline.place import Place
from steve._engine.liveness.presence import process_name
from steve._model.claimed import Settled
from steve._model.outcome import Verdict
from steve._model.process import ID_BITS, Process
from steve._model.settings import Settings
from steve._runtime.log import logger

MARK = " (drain)"
"""What the name in the row ends in."""
LEASE = 3_600.0
BEAT_EVERY = 30.0
PROCESSES_MOST = 1_000


class DrainProcess:
    def __init__(
        self,
        *,
        place: Place,
        statements: CallersStatements,
        settings: Settings,
        pauses: Pauses,
        on_rescued: Callable[[str, Verdict, Settled], None],
    ) -> None:
        """`on_rescued(process, verdict, settled)`: a job was taken over from the process of that name."""
        self.id = secrets.randbits(ID_BITS)
        self.name = process_name()
        self._place = place
        self._statements = statements
        self._max_crashes = settings.max_crashes
        self._pauses = pauses
        self._on_rescued = on_rescued
        self._beaten_at: float | None = None

    def enter(self) -> None:
        """A drain begins: learn what is paused, and, where others can see it, say that this process lives. Raises
        DatabaseFailure."""
        self._pauses.hear(self._place.call(self._statements.pauses.find_pauses))
        if self._place.commits():
            for other in self._beat():
                if _is_dead(other):
                    self._take_jobs(other)

    def beat(self) -> None:
        """Say again that this process lives, if that is due. Raises DatabaseFailure."""
        if self._beaten_at is not None and time.monotonic() >= self._beaten_at + BEAT_EVERY:
            self._beat()

    def leave(self) -> None:
        if self._beaten_at is not None:
            with suppress(DatabaseFailure):
                self._place.call(lambda ours: self._statements.processes.deregister_process(ours, self.id))

    def _beat(self) -> Sequence[Process]:
        """Returns the other processes."""
        self._beaten_at = time.monotonic()
        beat, name = self._statements.processes.beat, self.name + MARK
        look = self._place.call(lambda ours: beat(ours, self.id, name, LEASE, 0, beat=True, locked=False, most=PROCESSES_MOST))
        self._pauses.hear(look.pauses)
        return look.others

    def _take_jobs(self, process: Process) -> None:
        rescue = self._statements.processes.rescue_jobs
        reason = f"ProcessCrashed: process {process.name} died while it held the job"
        taken: list[UUID] = []

        def take(ours: Connection) -> Sequence[tuple[Verdict, Settled]]:
            return rescue(ours, process, True, reason, taken, max_crashes=self._max_crashes, notify=False)

        while rescued := self._place.call(take):
            for verdict, settled in rescued:
                taken.append(verdict.job.uid)
                self._on_rescued(process.name, verdict, settled)
        if taken:
            logger.warning("process %s died: %d of its jobs are taken over", process.name, len(taken))


def _is_dead(process: Process) -> bool:
    """Whether this process was one of this machine, and is not there any more. Of a manager that was started the session must
    be gone, too: a process of that number may have been on another machine of that name."""
    name = process.name.removesuffix(MARK)
    host, _, number = name.rpartition(":")
    if host != process_name().rpartition(":")[0] or not number.isdecimal():
        return False
    if os.name == "nt" or (not process.lock_is_free and name == process.name):
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
