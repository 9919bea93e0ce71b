"""The hand: jobs that this process has claimed and nobody has begun. Workers draw from it; whichever finds it below half
fills it again, while the others go on drawing. What lies in it too long, or when the manager stops, goes back.

How much a claim asks for: `_pace.py`. Where it looks: `_marks.py`, `sql/claim_jobs.sql`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from math import inf
from queue import Empty, SimpleQueue

from ._chance import chance
from ._log import logger
from ._lost import LostClaims
from ._marks import Marks
from ._outage import Backoff, Outage
from ._pace import Pace, was_cut_off
from ._store import Claims, Demand
from .errors import Misconfigured, Trouble, Unknown, Weather
from .handlers import Handlers
from .job import Claimed
from .outcome import NotBegun, Verdict, judge
from .settings import (
    IDLE_SECONDS,
    LATE_MOST,
    LATE_SECONDS,
    PARTING_SECONDS,
    POLL_MOST,
    TICK_SECONDS,
    WORTH_SECONDS,
)

Claim = Callable[[Demand], Claims]
"""Asks the database."""


class Hand:
    """The claimed, unbegun jobs, and when to claim more."""

    def __init__(
        self,
        claim: Claim,
        find_claimed: Callable[[list[datetime]], list[Claimed]],
        put_verdict: Callable[[Verdict], None],
        handlers: Handlers,
        outage: Outage,
        poll_interval: float,
        workers: int,
    ) -> None:
        self.pace = Pace()
        self.marks = Marks()
        self._claim = claim
        self._find_claimed = find_claimed
        self._put_verdict = put_verdict
        self._handlers = handlers
        self._outage = outage
        self._poll_interval = poll_interval
        self._workers = workers
        # Claimed when, and the job. append and popleft are atomic: drawing needs no lock.
        self._jobs: deque[tuple[float, Claimed]] = deque()
        self._target = 0
        # Seconds that the jobs at hand take one worker, each: of the last claim. Infinity: nobody knows.
        self._each = inf
        self._watched: Claimed | None = None
        # One claim at a time, taken without waiting: who does not get it draws or goes idle. Held across the query, it also
        # protects _woken's clearing, _target, the back-off and the claim's connection.
        self._claiming = threading.Lock()
        self._lost = LostClaims()
        # Held by a full scan beside the claims: what it brings must be in the hand before anybody asks what was lost.
        self._scanning = threading.Lock()
        self._woken = True
        self._next_look = 0.0
        self._not_before = 0.0
        # When the settler expects a job of ours to come due: a claim under way may not have seen that, and would set a later
        # look when it ends. The lock protects this and the setting of _next_look.
        self._expecting = threading.Lock()
        self._expected = inf
        self._backoff = Backoff()
        self._late = 0  # how often in a row a wake-up brought nothing
        self._closed = False
        # Rung for the idle worker. A SimpleQueue, since its put is safe wherever Python runs, in a signal handler too.
        self._bell: SimpleQueue[None] = SimpleQueue()
        # One giver at a time, so that what was taken out of the hand is on the pile when the next one finds the hand empty.
        self._giving = threading.Lock()
        self.claimed_at = time.monotonic()
        """When a claim last had its answer, whether it brought anything or not."""
        self.returned = 0
        """Given back since the hand was closed."""
        self.last_chance = False
        """A job on its last chance is due, or runs: nothing else may begin. Only the worker that sees to it ends this."""
        self.alone_since = 0.0
        """Since when, by time.monotonic()."""
        self._alone_not_before = 0.0

    def draw(self) -> Claimed | None:
        try:
            return self._jobs.popleft()[1]
        except IndexError:
            return None

    def __len__(self) -> int:
        return len(self._jobs)

    def jobs(self) -> list[Claimed]:
        return [job for _, job in self._jobs.copy()]  # a copy is atomic, a walk over what others draw from is not

    def is_low(self) -> bool:
        return len(self._jobs) * 2 <= self._target or not self._jobs

    def has_enough(self, drawing: int) -> bool:
        """Whether so many workers suffice for the jobs at hand.

        Short jobs are done sooner by one thread than by ten that take the interpreter from each other: one for every
        WORTH_SECONDS of work. Jobs that take longer than a tick, or nobody knows how long, get all that are free.
        """
        jobs = len(self._jobs)
        return not jobs or (self._each <= TICK_SECONDS and drawing > jobs * self._each / WORTH_SECONDS)

    def check_stall(self) -> bool:
        """By the watch from tick to tick: whether nobody has drawn since the last check. Then all who can should."""
        try:
            head = self._jobs[0][1]
        except IndexError:
            head = None
        if head is not None and head is self._watched:
            self._each = inf
            return True
        self._watched = head
        return False

    def wake(self, everywhere: bool = False) -> None:
        """There may be something new: look at once, and from the beginning of every lane if it may be anywhere. From any
        thread."""
        if everywhere:
            self.marks.start_over()
        self._woken = True
        self.ring()

    def stand_back_seconds(self) -> float:
        """How long to leave a notification unheard. Of many processes that hear of one job all but one come too late, or have
        no handler for it: those let the one that was first the last time have the processors, and come at different times."""
        return min(self._late * LATE_SECONDS, LATE_MOST) * chance.uniform(0.5, 1.0)

    def expect(self, seconds: float) -> None:
        """A job of ours comes due in so many seconds."""
        if seconds <= 0.0:
            self.wake()
            return
        at = time.monotonic() + seconds
        with self._expecting:
            self._expected = min(self._expected, at)
            sooner = at < self._next_look
            if sooner:
                self._next_look = at
        if sooner:
            self.ring()

    def refill(self, idle: int) -> int:
        """Claim if it is time to and nobody else does; how many jobs that brought.

        Never waits for another's claim.
        """
        if not self._is_due() or not self._claiming.acquire(blocking=False):
            return 0  # who does not get the lock leaves _woken set: the holder looks at it when it is done
        try:
            return 0 if self._closed else self._fill(idle)
        finally:
            self._end_claim()

    def recover(self) -> int:
        """Take up what a claim brought whose reply was lost, if that is due and nobody claims; how many jobs.

        From a thread that is no worker: of these all may be busy, and others could do the jobs.
        """
        if not self._lost.is_due() or not self._claiming.acquire(blocking=False):
            return 0
        try:
            brought = 0 if self._closed else self._recover()
        except Trouble as error:
            self._outage.failed("claiming", error)
            return 0
        else:
            return brought
        finally:
            self._end_claim()

    def _end_claim(self) -> None:
        self._claiming.release()
        # After the release, so that an idle worker that saw the lock taken and sleeps hears of what came meanwhile, and of a
        # look that is due before it would wake by itself.
        if self._woken or self._next_look < time.monotonic() + IDLE_SECONDS:
            self.ring()

    def _fill(self, idle: int) -> int:
        # Cleared before the statement is sent: a wake-up that comes while it runs may be for a row it does not see.
        woken, self._woken = self._woken, False
        demand = self.pace.demand(self._handlers, self._workers, idle, len(self._jobs), self.marks.now())
        if not demand.mosts and not demand.any_type:
            self.claimed_at = time.monotonic()  # there is nothing to claim: no handler yet
            self._next_look = self.claimed_at + self._poll_interval
            return 0
        with self._expecting:
            self._expected = inf  # what came due before is in the database already, and this claim sees it
        try:
            found = self._recover() if self._lost.is_due() else 0
            claims, cut_off = self._take(self._claim, demand)
        except Exception as error:
            self._not_before = self._next_look = time.monotonic() + self._backoff.next()
            self.marks.start_over()  # the next connection may lead to another server, whose clock differs
            self._outage.failed("claiming", error)
            if not isinstance(error, Trouble):
                raise
            return 0
        self._on_claimed()
        self._target = demand.n
        self._late = 0 if claims.jobs else self._late + woken
        look_in = 0.0
        if not cut_off:
            # jittered, so that processes do not poll in step
            look_in = min(self._poll_interval * chance.uniform(0.9, 1.1), POLL_MOST)
            if demand.marks is not None and not self.marks.slow:  # a short scan does not say that there is nothing
                look_in = min(look_in, self.marks.full_scan_in())
            if claims.next_due_in is not None:
                look_in = min(look_in, claims.next_due_in)
        with self._expecting:
            self._next_look = min(time.monotonic() + look_in, self._expected)
        return found + len(claims.jobs)

    def _on_claimed(self) -> None:
        """A claim had its answer: only that ends the outage of claiming."""
        self._outage.worked("claiming")
        self._backoff.reset()
        self.claimed_at = time.monotonic()

    def in_doubt(self) -> bool:
        """Whether this process may hold jobs that it does not know of."""
        return self._lost.in_doubt()

    def _recover(self) -> int:
        """After a claim whose reply was lost: take up the jobs that it brought, those of no claim that was answered. And once
        more after a while: the server may commit a claim after its client has lost the connection and looked.

        Under the claim lock and that of the scans, so that no claim under way is mistaken for it.
        """
        with self._scanning:
            first, answered = self._lost.begin()
            try:
                jobs = self._find_claimed(answered)
            except (Weather, Unknown, Misconfigured):
                self._lost.lost = True
                raise  # what else it may be, a row that cannot be read, must not keep all claims waiting: later again
            self._lost.end(first)
            self._put_in(jobs)
        if jobs:
            logger.warning("the reply to a claim was lost; the %d jobs that it took are at hand", len(jobs))
        return len(jobs)

    def _take(self, claim: Claim, demand: Demand) -> tuple[Claims, bool]:
        """Claim into the hand; what that brought, and whether there may be more."""
        try:
            claims = claim(demand)
            cut_off = was_cut_off(demand, claims.jobs)
            self.marks.claimed(claims, demand.marks is None, cut_off)
            self._put_in(claims.jobs)
            if claims.last_chance and time.monotonic() >= self._alone_not_before:
                self.alone_since = self.alone_since if self.last_chance else time.monotonic()
                self.last_chance = True
                self.ring()
        except (Weather, Misconfigured):
            raise  # it took nothing
        except BaseException:  # it may have taken jobs: the connection broke, or the reply could not be read
            self._lost.lost = True
            raise
        if claims.jobs:
            logger.debug("claimed %d jobs", len(claims.jobs))
        return claims, cut_off

    def _put_in(self, jobs: list[Claimed]) -> None:
        if jobs:
            self.pace.weighed(jobs)
            self._each = self.pace.expected(jobs) / len(jobs)
            now = time.monotonic()
            self._lost.answered(jobs)
            self._jobs.extend([(now, job) for job in jobs])

    def look_everywhere(self, claim: Claim, idle: int) -> int:
        """A full scan beside the claims, by the scanner on a connection of its own; how many jobs that brought.

        Raises Trouble.
        """
        demand = self.pace.demand(self._handlers, self._workers, idle, len(self._jobs), None)
        with self._scanning:
            return 0 if self._closed or self.last_chance else len(self._take(claim, demand)[0].jobs)

    def claim_alone(self, quiet: bool) -> Claimed | None:
        """A job on its last chance, if this process holds nothing else (`quiet`); otherwise look whether one is still due, from
        poll to poll. For the one worker that sees to it."""
        now = time.monotonic()
        if now < (self._not_before if quiet else self._next_look) or not self._claiming.acquire(blocking=False):
            return None
        try:
            demand = self.pace.demand(self._handlers, self._workers, 1, 0, {})._replace(n=0, suspects=int(quiet), alone=True)
            jobs, *_, due = ([], False) if self._closed else self._take(self._claim, demand)[0]
            self._on_claimed()
            self._next_look = now + self._poll_interval
            if not jobs and (quiet or not due):  # no more, or another process has taken it, or holds it
                self.last_chance = False
                self._alone_not_before = self._next_look
                self.wake(everywhere=True)
            # It lies at the end of the hand, unless somebody drew it who had not seen yet what goes on, and gives it back.
            last = self._jobs.pop() if jobs and self._jobs else None
            if last is None or last[1] is jobs[0]:
                return last and last[1]
            self._jobs.append(last)
        except Trouble as error:
            self._not_before = self._next_look = now + self._backoff.next()
            self._outage.failed("claiming", error)
        finally:
            self._end_claim()
        return None

    def wait_for_ring(self, seconds: float) -> None:
        with contextlib.suppress(Empty):
            self._bell.get(timeout=seconds)

    def wait(self, seconds: float) -> bool:
        """Until it is time to look again, at most so long; whether it is. For the one idle worker that watches."""
        # While somebody claims there is nothing to do but wait for the end of that: refill rings then if it is still due.
        if self._is_due() and self.is_low() and not self._claiming.locked():
            return True
        if self._jobs:
            seconds = TICK_SECONDS
        elif not self._claiming.locked():
            seconds = min(seconds, max(self._next_look - time.monotonic(), self._not_before - time.monotonic(), 0.0))
        try:
            self._bell.get(timeout=seconds)
        except Empty:
            return self._is_due()
        return True

    def ring(self) -> None:
        if self._bell.empty():  # one unheard ring is as good as ten
            self._bell.put(None)

    def _is_due(self) -> bool:
        now = time.monotonic()
        return (self._woken or now >= self._next_look) and now >= self._not_before

    def close(self) -> None:
        """Claim nothing more."""
        self._closed = True

    def end(self) -> None:
        """Give back all there is, all that a scan under way brings, and all that a lost claim took: after this the pile may be
        closed."""
        self.close()
        with self._claiming:
            if self.in_doubt():
                self._recover_at_last()
        with self._scanning:
            self.give_back()

    def _recover_at_last(self) -> None:
        """No claim comes after this one's question. Given up while the database stays away: then a rescue finds the jobs."""
        deadline = time.monotonic() + PARTING_SECONDS
        self._lost.lost = True
        while self._lost.lost:
            try:
                self._recover()
            except Trouble as error:
                self._outage.failed("claiming", error)
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                time.sleep(min(self._backoff.next(), left))
            except Exception:
                logger.exception("what a claim took whose reply was lost cannot be read")

    def give_back(self, older_than: float = 0.0) -> int:
        """Put back what has lain here so many seconds; how many. Through the pile, as everything that leaves a process."""
        limit = time.monotonic() - older_than
        count = 0
        with self._giving:
            while self._jobs:
                try:
                    if self._jobs[0][0] > limit:
                        break
                    _, job = self._jobs.popleft()  # or the next one: whoever drew that has begun
                except IndexError:  # drawn meanwhile
                    break
                self._put_verdict(judge(job, NotBegun(), None))
                count += 1
            if self._closed:
                self.returned += count
        return count
