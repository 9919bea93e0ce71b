"""The hand: jobs that this process has claimed and nobody has begun. Workers draw from it; whichever finds it below half
fills it again, while the others go on drawing. What lies in it too long, or when the manager stops, goes back.

How much is claimed: what the idle workers take at once, and what all of them begin within HAND_SECONDS at the pace of each
type. Claimed ahead, a job must not wait behind a slow neighbour while another process idles.

Where it is looked for: in a healthy table a claim is a full scan, from the beginning of every lane. While a transaction
stays open somewhere (a report, a backup, a forgotten BEGIN), each would walk over all the jobs claimed since, so between
full scans, which get a twentieth of the time, claims look above the marks only (`Marks`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from math import inf
from queue import Empty, SimpleQueue
from random import uniform

from ._outage import Backoff, Outage
from ._store import Demand, Lane, Mark
from .errors import Trouble
from .handlers import Handlers
from .job import Claimed
from .outcome import NotBegun, Verdict, judge
from .settings import FULL_SCAN_EVERY, HAND_BYTES, HAND_MOST, HAND_SECONDS, LANES_MOST, TICK_SECONDS, WORTH_SECONDS

logger = logging.getLogger("steve")

LANE_LEAST = 16
"""claim_jobs.sql looks for at least so many in each lane: a lane that brings fewer than it and all other limits is empty."""


class Pace:
    """Moving averages: the seconds a handler takes, by type and over all, and the bytes of a payload.

    Written by all workers without a lock: an average that misses a value now and then is an average still.
    """

    def __init__(self) -> None:
        self._by_type: dict[str, float] = {}
        self._mean: float | None = None
        self._payload = 0.0

    def took(self, type: str, seconds: float) -> None:
        known = self._by_type.get(type)
        self._by_type[type] = seconds if known is None else known + (seconds - known) * 0.2
        self._mean = seconds if self._mean is None else self._mean + (seconds - self._mean) * 0.2

    def expected(self, jobs: list[Claimed]) -> float:
        """Seconds that one worker takes for these; infinity where one of them may take any time."""
        return sum(self._by_type.get(type, inf) * count for type, count in Counter(job.type for job in jobs).items())

    def weighed(self, jobs: list[Claimed]) -> None:
        mean = sum(len(job.payload) for job in jobs) / len(jobs)
        self._payload += (mean - self._payload) * 0.5

    def demand(self, handlers: Handlers, workers: int, idle: int, at_hand: int, marks: Mapping[Lane, Mark] | None) -> Demand:
        """What to ask for. A type that has never run has no pace: as many of it as workers are idle, no more."""
        ahead = HAND_SECONDS * workers

        def most(pace: float | None) -> int:
            return idle if pace is None else min(idle + int(ahead / max(pace, 1e-6)), HAND_MOST)

        types = set(handlers.types())
        if handlers.fallback is not None:
            types |= self._by_type.keys()
        fits = int(HAND_BYTES / max(self._payload, 1.0))
        return Demand(
            n=max(1, min(most(self._mean), fits) - at_hand),
            mosts={type: most(self._by_type.get(type)) for type in types},
            unknown_most=idle,
            any_type=handlers.fallback is not None,
            marks=marks,
        )


class Marks:
    """How far each lane has been claimed, and when to look from its beginning again. Used by who holds the claim lock.

    A mark is a hint for speed. It moves only to a job that was claimed, never to the present time, and not on an empty scan.
    Jobs do become pending below it: commits overlap, transactions last, claims are rolled back, jobs given back. The next
    full scan finds them: none waits longer than 21 full scans, or the poll.
    """

    def __init__(self) -> None:
        self._marks: dict[Lane, Mark] = {}
        self._full_from = 0.0

    def forget(self) -> None:
        """Let the next claim be a full scan. From any thread."""
        self._full_from = 0.0

    def now(self) -> Mapping[Lane, Mark] | None:
        """What the claim that begins now is to look above; None: nothing, it is a full scan."""
        return None if time.monotonic() >= self._full_from or not self._marks else self._marks

    def claimed(self, jobs: list[Claimed], demand: Demand, seconds: float, cut_off: bool) -> None:
        """A claim that took so many seconds brought these, in the order of the claim."""
        if demand.marks is None:
            self._full_from = time.monotonic() + FULL_SCAN_EVERY * seconds
            if len(self._marks) > LANES_MOST:
                self._marks = {}
        last = {Lane(job.queue, job.type, job.priority): (job.run_at, job.id) for job in jobs}
        for lane, mark in last.items():
            # Back only if there may be more between here and the old mark.
            if cut_off or lane not in self._marks or mark > self._marks[lane]:
                self._marks[lane] = mark

    def full_scan_in(self) -> float:
        return max(0.0, self._full_from - time.monotonic())


class Hand:
    """The claimed, unbegun jobs, and when to claim more."""

    def __init__(
        self,
        claim: Callable[[Demand], tuple[list[Claimed], float | None]],
        put_verdict: Callable[[Verdict], None],
        handlers: Handlers,
        outage: Outage,
        poll_interval: float,
        workers: int,
    ) -> None:
        self.pace = Pace()
        self.marks = Marks()
        self._claim = claim
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
        # protects _woken's clearing, _next_look, _target, the back-off and the claim's connection.
        self._claiming = threading.Lock()
        self._woken = True
        self._next_look = 0.0
        self._not_before = 0.0
        self._backoff = Backoff()
        self._closed = False
        # Rung for the idle worker. A SimpleQueue, since its put is safe wherever Python runs, in a signal handler too.
        self._bell: SimpleQueue[None] = SimpleQueue()
        # One giver at a time, so that what was taken out of the hand is on the pile when the next one finds the hand empty.
        self._giving = threading.Lock()

    def draw(self) -> Claimed | None:
        try:
            return self._jobs.popleft()[1]
        except IndexError:
            return None

    def __len__(self) -> int:
        return len(self._jobs)

    def is_low(self) -> bool:
        return len(self._jobs) * 2 <= self._target or not self._jobs

    def has_enough(self, drawing: int) -> bool:
        """Whether so many workers suffice for the jobs at hand.

        Short jobs are done sooner by one thread than by ten that take the interpreter from each other: one for every
        WORTH_SECONDS of work. Jobs that take longer than a tick, or nobody knows how long, get all that are free.
        """
        jobs = len(self._jobs)
        return not jobs or (self._each <= TICK_SECONDS and drawing > jobs * self._each / WORTH_SECONDS)

    def is_stalled(self) -> bool:
        """Asked by the watch from tick to tick: whether nobody has drawn since. Then all who can should."""
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
            self.marks.forget()
        self._woken = True
        self.ring()

    def expect(self, seconds: float) -> None:
        """A job of ours comes due in so many seconds."""
        if seconds <= 0.0:
            self.wake()
        elif time.monotonic() + seconds < self._next_look:
            # Unlocked: a claim that ends just now may set a later look. Then the job is found by the claim itself, whose
            # answer names the next due instant: our verdict was committed before this call.
            self._next_look = time.monotonic() + seconds
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
            self._claiming.release()
            # After the release, so that an idle worker that saw the lock taken and sleeps hears of what came meanwhile.
            if self._is_due():
                self.ring()

    def _fill(self, idle: int) -> int:
        # Cleared before the statement is sent: a wake-up that comes while it runs may be for a row it does not see.
        self._woken = False
        demand = self.pace.demand(self._handlers, self._workers, idle, len(self._jobs), self.marks.now())
        began = time.monotonic()
        if not demand.mosts and not demand.any_type:
            self._next_look = time.monotonic() + self._poll_interval  # no handler yet
            return 0
        try:
            jobs, next_due_in = self._claim(demand)
        except Trouble as error:
            self._not_before = self._next_look = time.monotonic() + self._backoff.next()
            self._outage.failed("claiming", error)
            self.marks.forget()  # the next connection may lead to another server, whose clock differs
            return 0
        self._outage.worked("claiming")
        self._backoff.reset()
        now = time.monotonic()
        self._target = demand.n
        cut_off = _was_cut_off(demand, jobs)
        self.marks.claimed(jobs, demand, now - began, cut_off)
        if cut_off:
            self._next_look = now
        else:
            # jittered, so that processes do not poll in step
            look_in = self._poll_interval * uniform(0.9, 1.1)
            if demand.marks is not None:  # a short scan does not say that there is nothing
                look_in = min(look_in, self.marks.full_scan_in())
            self._next_look = now + (look_in if next_due_in is None else min(look_in, next_due_in))
        if jobs:
            self.pace.weighed(jobs)
            self._each = self.pace.expected(jobs) / len(jobs)
            self._jobs.extend([(now, job) for job in jobs])
            logger.debug("claimed %d jobs", len(jobs))
        return len(jobs)

    def wait(self, seconds: float) -> bool:
        """Until it is time to look again, at most so long; whether it is. For the one idle worker that watches."""
        # While somebody claims there is nothing to do but wait for the end of that: refill rings then if it is still due.
        if self._is_due() and self.is_low() and not self._claiming.locked():
            return True
        if self._jobs:
            seconds = TICK_SECONDS
        elif not self._claiming.locked():
            seconds = min(seconds, max(self._next_look - time.monotonic(), 0.0))
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

    def give_back(self, older_than: float = 0.0) -> int:
        """Put back what has lain here so many seconds; how many. Through the pile, as everything that leaves a process."""
        limit = time.monotonic() - older_than
        count = 0
        with self._giving:
            while self._jobs:
                try:
                    claimed_at, job = self._jobs.popleft()
                except IndexError:  # drawn meanwhile
                    break
                if claimed_at > limit:
                    self._jobs.appendleft((claimed_at, job))
                    break
                self._put_verdict(judge(job, NotBegun(), None))
                count += 1
        return count


def _was_cut_off(demand: Demand, jobs: list[Claimed]) -> bool:
    """Whether a limit, not the lack of due jobs, ended the claim: then there may be more."""
    if len(jobs) >= min(demand.n, LANE_LEAST):
        return True
    counts = Counter(job.type for job in jobs)
    return any(count >= demand.mosts.get(type, demand.unknown_most) for type, count in counts.items())
