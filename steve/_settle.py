"""The pile and its thread: verdicts on their way to the database, committed in groups, then handed to the dispatcher.

Workers put a verdict down and draw the next job; nobody waits for a commit. One settler thread takes what lies there,
writes it in one statement and takes what has come meanwhile: groups form by themselves under load, a lone verdict goes at
once. Verdicts wait here while the database is away, and workers begin nothing more when too many do.

No outcome is ever given up while the manager runs. One that PostgreSQL does not take is set aside, where it holds up nobody,
and is tried again; only where the same outcome without its data can be written is it the data that PostgreSQL cannot hold.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

from ._brake import Brake
from ._chance import chance
from ._log import logger
from ._outage import Backoff, Outage
from .errors import Misconfigured, Trouble, Unexplained, Unknown, Weather
from .job import AttemptStatus, Settled, Status
from .listeners import Event
from .outcome import Verdict
from .settings import GROUP_BYTES, GROUP_MOST, HOPELESS, PILE_BYTES, PILE_MOST, SETTLE_SECONDS

Claim = tuple[int, int]
"""(job id, lease_no)."""

Landed = dict[int, Settled | None]
"""What stands in the database of a group of verdicts, by their place in it, from 1: an id and its lease_no may have been given
out again while a job of them still ran, so that two of a group have the same. None: it does, and nobody wanted to hear of
it."""


class SettlePort(Protocol):
    """What the settler asks of the database. All methods raise Trouble."""

    def write(self, verdicts: Sequence[Verdict], now: float) -> Landed:
        """Write these down, and return those whose jobs were still ours. `now`: time.monotonic()."""

    def witness(self, verdicts: Sequence[Verdict]) -> Landed:
        """Those that are in the database already."""

    def rehearse(self, verdict: Verdict) -> None:
        """Write it in a transaction that is rolled back."""

    def forget_attempt(self, verdict: Verdict) -> None:
        """Delete a row of the log that another life of the job has left under this lease."""


class Aside(NamedTuple):
    """A verdict that PostgreSQL does not take at present."""

    verdict: Verdict
    since: float
    """time.monotonic() of the first try."""
    doubtful: bool
    """An earlier try may have written it."""
    was_said: bool
    """The log has a line about it."""


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
        self.aside: list[Aside] = []
        """Replaced as a whole, by the settler; counted with what waits, so that workers stop before too much lies here."""
        self.brake = Brake(lambda: max((self._count + len(self.aside)) / PILE_MOST, self._bytes / PILE_BYTES))

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
        self._is_over = True  # beside the marker, which a thread that was broken off while it waited may have taken
        self._verdicts.put(None)

    def recount(self) -> None:
        """A thread that was broken off while it took something has lost that: where nothing lies, nothing waits."""
        with self._weighing:
            if self._verdicts.empty():
                self._count = self._bytes = 0

    def __len__(self) -> int:
        return self._count

    def progress(self) -> tuple[int, int]:
        """How many were ever put here, and of these, how many are in the database, set aside or given up."""
        with self._weighing:
            return self._put, self._put - self._count - self._taken

    def is_settled(self) -> bool:
        """Whether all that was ever put here is in the database, set aside or given up."""
        with self._weighing:
            return not self._count and not self._taken

    def take(self, seconds: float | None = None) -> Bite:
        """Wait for something, at most so long, and take with it what else lies there. What was taken before is done with."""
        with self._weighing:
            self._taken = 0
        group: list[Verdict] = []
        begun: list[Event] = []
        size = 0
        ended = False
        try:
            next = self._verdicts.get(block=not self._is_over, timeout=seconds)
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
        database: SettlePort,
        told: Callable[[Verdict, Settled | None], None],
        dropped: Callable[[], None],
        tell_begun: Callable[[Event], None],
        outage: Outage,
        on_end: Callable[[], None],
    ) -> None:
        """`told` hears of each verdict after its commit, `dropped` that one was not ours to write any more."""
        self._pile = pile
        self._database = database
        self._told = told
        self._dropped = dropped
        self._tell_begun = tell_begun
        self._outage = outage
        self._on_end = on_end
        self._backoff = Backoff()
        self._last_chance: float | None = None
        # What was taken and is not done with, in order: whatever breaks this thread off, it goes on with these.
        self._open: deque[Verdict] = deque()
        self._open_since = 0.0
        self._ended = False
        # What lies aside is tried again then; its doubts and ages are kept while it is tried.
        self._asides_due = 0.0
        self._asides_backoff = Backoff()
        self._tried: dict[Claim, Aside] = {}
        self._hopeless = 0  # how many were set aside in a row
        self._forgotten: set[Claim] = set()  # whose row in the log was looked for in this group

    def waiting(self) -> int:
        """How many verdicts are not in the database yet."""
        return len(self._pile) + len(self._open) + len(self._pile.aside)

    def claims(self) -> set[Claim]:
        """Of the verdicts that are being written or lie aside. From any thread."""
        return {_claim(one) for one in self._open.copy()} | {_claim(one.verdict) for one in self._pile.aside}

    def oldest(self) -> float:
        """For how many seconds the verdicts that are being written, or lie aside, have waited for that."""
        since = [one.since for one in self._pile.aside]
        if self._open:
            since.append(self._open_since)
        return time.monotonic() - min(since) if since else 0.0

    def last_chance(self) -> None:
        """The manager stops: if the database is away, give up after SETTLE_SECONDS rather than keep the process for ever."""
        self._last_chance = time.monotonic() + SETTLE_SECONDS

    def run(self) -> None:
        try:
            self._pile.recount()
            if self._open:
                self._settle_all(list(self._open), doubtful=True)
            while not self._ended:
                bite = self._pile.take(self._seconds_to_asides())
                self._ended = bite.ended
                if bite.verdicts:
                    self._open_since = time.monotonic()  # before there is something that could have waited
                    self._open.extend(bite.verdicts)
                for event in bite.begun:
                    self._tell_begun(event)
                if bite.verdicts:
                    self._settle_all(bite.verdicts, doubtful=False)
                if self._pile.aside and not self._seconds_to_asides():
                    self._try_asides()
            while self._pile.aside:
                if self._last_chance is not None and time.monotonic() > self._last_chance:
                    raise _GivenUp
                time.sleep(self._seconds_to_asides() or 0.0)
                self._try_asides()
        except _GivenUp:
            logger.error("the database did not take the outcome of %d attempts: it is not recorded", self.waiting())
        self._on_end()

    def _settle_all(self, group: Sequence[Verdict], doubtful: bool) -> None:
        self._hopeless = 0
        self._forgotten.clear()
        before = self._pile.aside
        self._settle(group, doubtful)
        if self._pile.aside and not before:
            self._asides_due = time.monotonic() + self._asides_backoff.next()

    def _settle(self, group: Sequence[Verdict], doubtful: bool) -> None:
        """Write a group, or set aside of it what cannot be written. `doubtful`: an earlier try may have written it."""
        while self._hopeless < HOPELESS:
            try:
                landed = self._database.write(group, time.monotonic())
                if doubtful and len(landed) < len(group):
                    # In a statement after the write, which has waited for the lost try's row locks.
                    landed |= self._database.witness(group)
            except Unknown as error:
                doubtful = True
                self._wait(error)
            except Exception as error:
                if _passes(error):
                    self._wait(error)
                    continue
                # Refused, or for a reason that PostgreSQL cannot explain, or nothing that it said: memory, a driver's defect
                doubtful = doubtful or not isinstance(error, Trouble)  # it may have been raised when the answer was there
                if len(group) == 1:
                    self._settle_alone(group[0], error, doubtful)
                else:  # halved until the poisoned one stands alone and hurts only itself
                    middle = len(group) // 2
                    self._settle(group[:middle], doubtful)
                    self._settle(group[middle:], doubtful)
                return
            else:
                self._on_written(group, landed, doubtful)
                return
        for verdict in group:  # nothing is taken at present: each need not be tried
            self._set_aside(verdict, doubtful, None)

    def _on_written(self, group: Sequence[Verdict], landed: Landed, doubtful: bool) -> None:
        self._outage.worked("settling")
        self._backoff.reset()
        self._hopeless = 0
        for place, verdict in enumerate(group, 1):
            self._open.popleft()
            if place in landed:
                self._told(verdict, landed[place])
            elif not doubtful or verdict.attempt_status is not None:
                logger.warning(
                    "job %s was taken from this process while attempt %d ran: its outcome (%s) is dropped",
                    verdict.job.uid, verdict.job.attempts, verdict.status,
                    extra=verdict.job.log_extra(),
                )  # fmt: skip
                self._dropped()
            # else: what does not count leaves no witness; it was written by the try whose reply was lost, and nobody is told

    def _settle_alone(self, verdict: Verdict, error: Exception, doubtful: bool) -> None:
        """PostgreSQL does not take this one. Either something in the way can be removed, or the data is proven to be the cause:
        the same outcome without it can be written, and with it still cannot. Else it is set aside: the cause may be
        anything."""
        claim = _claim(verdict)
        try:
            if isinstance(error, Trouble) and error.sqlstate == "23505" and claim not in self._forgotten:
                # The only unique key that is written here is the log's, (job_id, lease_no).
                self._forgotten.add(claim)
                self._database.forget_attempt(verdict)
                self._settle([verdict], doubtful)
                return
            for less, instead in without_data(verdict, _reason(error)):
                if self._can_be_written(less) and not self._can_be_written(verdict):
                    logger.error(
                        "job %s: the outcome of attempt %d cannot be stored: %s",
                        verdict.job.uid, verdict.job.attempts, _reason(error),
                        extra=verdict.job.log_extra(),
                    )  # fmt: skip
                    self._open[0] = instead
                    self._settle([instead], doubtful)
                    return
        except Trouble as met:
            error = met
        self._set_aside(verdict, doubtful, error)

    def _can_be_written(self, verdict: Verdict) -> bool:
        """Raises Trouble where that says nothing about the verdict."""
        try:
            self._database.rehearse(verdict)
        except Exception as error:
            if isinstance(error, Unknown) or _passes(error):
                raise
            return False
        return True

    def _set_aside(self, verdict: Verdict, doubtful: bool, error: Exception | None) -> None:
        """`error`: why; None: nothing else is taken either."""
        self._hopeless += 1
        before = self._tried.get(_claim(verdict))
        said = before is not None and before.was_said
        if error is not None:
            if isinstance(error, Trouble):
                self._outage.failed("settling", error)
            if not said:
                logger.warning(
                    "job %s: the outcome of attempt %d cannot be written now and will be tried again: %s",
                    verdict.job.uid, verdict.job.attempts, error if isinstance(error, Trouble) else _reason(error),
                    extra=verdict.job.log_extra(),
                )  # fmt: skip
                said = True
        since = self._open_since if before is None else before.since
        self._open.popleft()  # first: a thread that is broken off here loses it, and its job is freed; it is not told twice
        self._pile.aside = [*self._pile.aside, Aside(verdict, since, doubtful, said)]

    def _seconds_to_asides(self) -> float | None:
        return max(self._asides_due - time.monotonic(), 0.0) if self._pile.aside else None

    def _try_asides(self) -> None:
        # First those that were never tried by themselves, and by chance in another order each time: however many cannot be
        # written, the others come before HOPELESS of them.
        asides = chance.sample(self._pile.aside, len(self._pile.aside))
        asides.sort(key=lambda one: one.was_said)
        self._tried = {_claim(one.verdict): one for one in asides}
        self._open_since = min(one.since for one in asides)
        self._open.extend([one.verdict for one in asides])
        self._pile.aside = []
        self._settle_all([one.verdict for one in asides], any(one.doubtful for one in asides))
        self._tried = {}
        self._pile.brake.ease()
        if not self._pile.aside:
            self._asides_backoff.reset()

    def _wait(self, error: Exception) -> None:
        assert isinstance(error, Trouble)
        self._outage.failed("settling", error)
        if self._last_chance is not None and time.monotonic() > self._last_chance:
            raise _GivenUp
        time.sleep(self._backoff.next())


class _GivenUp(Exception):
    """The database took nothing for too long after the manager was told to stop."""


def without_data(verdict: Verdict, reason: str) -> Iterator[tuple[Verdict, Verdict]]:
    """The same outcome with less in it that PostgreSQL may not be able to hold; and what to write if that is the cause. An
    error keeps its words as long as it can, and what becomes of its job stays as it is. A job whose result cannot be stored
    fails."""
    if verdict.attempt_status is AttemptStatus.ERROR:
        text = f"ErrorNotStorable: the attempt failed, but its error cannot be stored: {reason}"
        # First for a database in another encoding than UTF-8.
        for less in (
            verdict._replace(error=_in_ascii(verdict.error), details=_in_ascii(verdict.details)),
            verdict._replace(error=text, details=None),
        ):
            if less != verdict:
                yield less, less
    elif verdict.result is not None:
        text = f"ResultNotStorable: the handler finished, but its result cannot be stored: {reason}"
        failed = Verdict(verdict.job, verdict.begun, Status.FAILED, AttemptStatus.ERROR, error=text)
        yield verdict._replace(result=None), failed


def _in_ascii(text: str | None) -> str | None:
    return None if text is None else text.encode("ascii", "backslashreplace").decode()


def _reason(error: Exception) -> str:
    """Not the error's text: PostgreSQL quotes the data in it."""
    state = error.sqlstate if isinstance(error, Trouble) else None
    return f"PostgreSQL refused it (SQLSTATE {state})" if state else type(error).__name__


def _passes(error: Exception) -> bool:
    """Whether it says nothing about what was sent: the same will be taken when it is over."""
    return isinstance(error, Weather | Misconfigured) and not isinstance(error, Unexplained)


def _claim(verdict: Verdict) -> Claim:
    return verdict.job.id, verdict.job.lease_no
