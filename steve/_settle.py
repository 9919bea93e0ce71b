"""The pile and its thread: verdicts on their way to the database, committed in groups, then handed to the dispatcher.

Workers put a verdict down and draw the next job; nobody waits for a commit. One settler thread takes what lies there,
writes it in one statement and takes what has come meanwhile: groups form by themselves under load, a lone verdict goes at
once. Verdicts wait here while the database is away, and workers begin nothing more when too many do.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from ._brake import Brake
from ._log import logger
from ._outage import Backoff, Outage
from .errors import Misconfigured, Trouble, Unexplained, Unknown, Weather
from .job import AttemptStatus, Settled, Status
from .listeners import Event
from .outcome import Verdict
from .settings import GROUP_BYTES, GROUP_MOST, PILE_BYTES, PILE_MOST, SETTLE_SECONDS, UNEXPLAINED_MOST

Landed = dict[tuple[int, int], Settled | None]
"""What stands in the database of a group of verdicts, by (job id, lease_no). None: it does, and nobody wanted to hear of it."""


class Pile:
    """The verdicts that wait. One-way: what was put down is settled or, when the fence says so, dropped."""

    def __init__(self) -> None:
        self._verdicts: SimpleQueue[Verdict | Event | None] = SimpleQueue()
        self._weighing = threading.Lock()  # protects the four below
        self._put = 0
        self._count = 0
        self._taken = 0
        self._bytes = 0
        self._is_over = False
        self.brake = Brake(lambda: max(self._count / PILE_MOST, self._bytes / PILE_BYTES))

    def put(self, verdict: Verdict) -> None:
        with self._weighing:
            self._put += 1
            self._count += 1
            self._bytes += verdict.size
            self._verdicts.put(verdict)  # in here for `recount`

    def announce(self, event: Event) -> None:
        """A run begins. Told through the pile: the end of the attempt before it may be on its way to the dispatcher still."""
        self._verdicts.put(event)

    def end(self) -> None:
        """No verdict comes after this."""
        self._is_over = True  # beside the marker, which who is broken off while he waits for it may have taken
        self._verdicts.put(None)

    def recount(self) -> None:
        """Who was broken off while he took something has lost it: where nothing lies, nothing waits."""
        with self._weighing:
            if self._verdicts.empty():
                self._count = self._bytes = 0

    def __len__(self) -> int:
        return self._count

    def progress(self) -> tuple[int, int]:
        """How many were ever put here, and of these, how many are in the database, or given up."""
        with self._weighing:
            return self._put, self._put - self._count - self._taken

    def is_settled(self) -> bool:
        """Whether all that was ever put here is in the database, or given up."""
        with self._weighing:
            return not self._count and not self._taken

    def take(self) -> Bite:
        """Wait for something, and take with it what else lies there. What was taken before is done with."""
        with self._weighing:
            self._taken = 0
        group: list[Verdict] = []
        begun: list[Event] = []
        size = 0
        ended = False
        try:
            next = self._verdicts.get(block=not self._is_over)
            while next is not None:
                if isinstance(next, Event):
                    begun.append(next)
                else:
                    group.append(next)
                    size += next.size
                    if len(group) >= GROUP_MOST or size >= GROUP_BYTES:
                        break
                next = self._verdicts.get_nowait()
            else:
                ended = True
        except Empty:
            ended = self._is_over
        with self._weighing:
            self._count -= len(group)
            self._taken = len(group)
            self._bytes -= size
        self.brake.ease()
        return Bite(group, begun, ended)


class Bite(NamedTuple):
    """What the settler takes at once."""

    verdicts: list[Verdict]
    begun: list[Event]
    """Runs that began meanwhile: before the end of any of them, and after all that was taken earlier."""
    ended: bool
    """Nothing will ever come after this."""


class Settler:
    """The thread that settles the pile."""

    def __init__(
        self,
        pile: Pile,
        write: Callable[[Sequence[Verdict], float], Landed],
        witness: Callable[[Sequence[Verdict]], Landed],
        told: Callable[[Verdict, Settled | None], None],
        tell_begun: Callable[[Event], None],
        outage: Outage,
        on_end: Callable[[], None],
    ) -> None:
        self._pile = pile
        self._write = write
        self._witness = witness
        self._told = told
        self._tell_begun = tell_begun
        self._outage = outage
        self._on_end = on_end
        self._backoff = Backoff()
        self._last_chance: float | None = None
        # What was taken and is not done with, in order: whatever breaks this thread off, it goes on with these.
        self._open: deque[Verdict] = deque()
        self._open_since = 0.0
        self._ended = False

    def waiting(self) -> int:
        """How many verdicts are not in the database yet."""
        return len(self._pile) + len(self._open)

    def oldest(self) -> float:
        """For how many seconds the verdicts that are being written have waited for that."""
        return time.monotonic() - self._open_since if self._open else 0.0

    def last_chance(self) -> None:
        """The manager stops: if the database is away, give up after SETTLE_SECONDS rather than keep the process for ever."""
        self._last_chance = time.monotonic() + SETTLE_SECONDS

    def run(self) -> None:
        try:
            self._pile.recount()
            if self._open:
                self._settle(list(self._open), doubtful=True)
            while not self._ended:
                verdicts, begun, self._ended = self._pile.take()
                self._open_since = time.monotonic()  # before there is something that could have waited
                self._open.extend(verdicts)
                for event in begun:
                    self._tell_begun(event)
                if verdicts:
                    self._settle(verdicts, doubtful=False)
        except _GivenUp:
            logger.error("the database stayed away: the outcome of %d attempts is not recorded", self.waiting())
        self._on_end()

    def _settle(self, group: Sequence[Verdict], doubtful: bool) -> None:
        """Write a group, whatever it takes. `doubtful`: an earlier try may have written it."""
        unexplained = 0
        while True:
            try:
                landed = self._write(group, time.monotonic())
                if doubtful and len(landed) < len(group):
                    # In a statement after the write, which has waited for the lost try's row locks.
                    landed |= self._witness(group)
            except Unknown as error:
                doubtful = True
                self._wait(error)
            except Exception as error:
                if isinstance(error, Unexplained):
                    self._wait(error)
                    unexplained += 1
                    if len(group) == 1 and unexplained < UNEXPLAINED_MOST:
                        continue
                elif isinstance(error, Weather | Misconfigured):
                    self._wait(error)
                    continue
                elif not isinstance(error, Trouble):
                    doubtful = True  # it may have been raised when the answer was there
                # Refused; for no reason that we know, alone again and again; or nothing that the database said: memory, a
                # driver's defect
                if len(group) == 1:
                    self._refuse(group[0], error, doubtful)
                else:  # halved until the poisoned one stands alone and hurts only itself
                    middle = len(group) // 2
                    self._settle(group[:middle], doubtful)
                    self._settle(group[middle:], doubtful)
                return
            else:
                break
        self._outage.worked("settling")
        self._backoff.reset()
        for verdict in group:
            self._open.popleft()
            claim = (verdict.job.id, verdict.job.lease_no)
            if claim in landed:
                self._told(verdict, landed[claim])
            elif not doubtful or verdict.attempt_status is not None:
                _warn_fenced(verdict)
            # else: what does not count leaves no witness; it was written by the try whose reply was lost, and nobody is told

    def _refuse(self, verdict: Verdict, error: Exception, doubtful: bool) -> None:
        state = error.sqlstate if isinstance(error, Trouble) else None
        if state == "23505":
            # The only unique key written here is the attempt's, (job_id, lease_no): somebody has settled under this lease.
            self._open.popleft()
            _warn_fenced(verdict)
            return
        # Not the error's text: PostgreSQL quotes the data in it.
        reason = f"PostgreSQL refused it (SQLSTATE {state})" if state else type(error).__name__
        if verdict.attempt_status is AttemptStatus.ERROR:  # what becomes of the job stays as it is
            text = f"ErrorNotStorable: the attempt failed, but its error cannot be stored: {reason}"
            plain = verdict._replace(error=text, details=None)
        else:
            text = f"ResultNotStorable: the handler finished, but its outcome cannot be stored: {reason}"
            plain = Verdict(verdict.job, verdict.begun, Status.FAILED, AttemptStatus.ERROR, error=text)
        uid, number, extra = verdict.job.uid, verdict.job.attempts, verdict.job.log_extra()
        if verdict == plain:
            self._open.popleft()
            logger.error("job %s cannot be settled at all: %s", uid, reason, extra=extra)
        else:
            logger.error("job %s: the outcome of attempt %d cannot be stored: %s", uid, number, reason, extra=extra)
            self._settle([plain], doubtful)

    def _wait(self, error: Trouble) -> None:
        self._outage.failed("settling", error)
        if self._last_chance is not None and time.monotonic() > self._last_chance:
            raise _GivenUp
        time.sleep(self._backoff.next())


class _GivenUp(Exception):
    """The database stayed away for too long after the manager was told to stop."""


def _warn_fenced(verdict: Verdict) -> None:
    logger.warning(
        "job %s was taken from this process while attempt %d ran: its outcome (%s) is dropped",
        verdict.job.uid, verdict.job.attempts, verdict.status,
        extra=verdict.job.log_extra(),
    )  # fmt: skip
