"""The row in the table process of a drain whose statements are committed.

Other processes see the jobs that run there, so they must see that the drain lives. It has no lock of a session, and a lease
that is longer than a test. It also takes over the jobs of processes of this machine that have died: nobody would rescue them
while no manager is started.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

from steve._database.failures import Connection, DatabaseFailure
from steve._database.statements.processes import ProcessStatements
from steve._engine.claim.pauses import Pauses
from steve._engine.inline.place import Place
from steve._engine.liveness.presence import process_name
from steve._engine.settle.commits import Commits
from steve._model.claimed import Settled
from steve._model.outcome import Verdict
from steve._model.process import ID_BITS, Process
from steve._runtime.log import logger

MARK = " (drain)"
"""What the name of a drain's process ends in."""
LEASE = 3_600.0
BEAT_EVERY = 30.0
PROCESSES_MOST = 1_000


class DrainProcess:
    def __init__(self, *, place: Place, statements: ProcessStatements, pauses: Pauses, max_crashes: int) -> None:
        self.id = secrets.randbits(ID_BITS)
        self.name = process_name()
        self._place = place
        self._statements = statements
        self._pauses = pauses
        self._max_crashes = max_crashes
        self._beaten_at: float | None = None

    def beat(self, commits: Commits, tell: Callable[[], None]) -> None:
        """Say that this process lives, if others can see it and it is time. The first time, take over the jobs of the dead:
        what became of these goes to `commits`, and then `tell` is called."""
        now = time.monotonic()
        if not self._place.commits() if self._beaten_at is None else now < self._beaten_at + BEAT_EVERY:
            return
        is_first, self._beaten_at = self._beaten_at is None, now

        def send(ours: Connection) -> Sequence[Process]:
            look = self._statements.beat(
                ours, self.id, self.name + MARK, LEASE, 0, beat=True, locked=False, most=PROCESSES_MOST
            )
            self._pauses.hear(look.pauses)
            return look.others

        others = self._place.call(send)
        if is_first:
            for other in others:
                if _is_dead(other):
                    self._take_jobs(other, commits)
            self._place.within(tell)

    def leave(self) -> None:
        if self._beaten_at is not None:
            with suppress(DatabaseFailure):
                self._place.call(lambda ours: self._statements.deregister_process(ours, self.id))

    def _take_jobs(self, process: Process, commits: Commits) -> None:
        reason = f"ProcessCrashed: process {process.name} died while it held the job"
        taken: list[UUID] = []

        def take(ours: Connection) -> Sequence[tuple[Verdict, Settled]]:
            return self._statements.rescue_jobs(ours, process, True, reason, taken, max_crashes=self._max_crashes, notify=False)

        while rescued := self._place.call(take):
            for verdict, settled in rescued:
                taken.append(verdict.job.uid)
                commits.on_rescued(process.name, verdict, settled)
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
