"""What `stats()` returns: how many jobs there are of each queue, type and status, and how the jobs went that ended lately."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, reduce
from math import sqrt
from typing import NamedTuple, TypedDict

from steve.job import Status

BOUNDS: tuple[float, ...] = tuple(0.001 * 2 ** (step / 2) for step in range(54))
"""The bounds of the buckets in which times are counted, in seconds: from a millisecond to a day, each 1.41 times the one
before. The first bucket is below the first bound, and the last one above the last."""

DIGITS = 12
"""How many digits count one bucket, where the table `stat` has a histogram as a number: `steve/_model/histogram.py`."""

_FIRST = 0.0005
"""The percentile that lies in the first bucket, in seconds."""


class Count(int):
    """A number of jobs. `is_least`: there are at least so many, since a call counts no more; then `str()` ends with `+`."""

    is_least: bool = False

    def __new__(cls, value: int = 0, is_least: bool = False) -> Count:
        self = super().__new__(cls, value)
        if is_least:  # most are not, and need no dict of their own then
            self.is_least = True
        return self

    def __str__(self) -> str:
        return f"{int(self)}+" if self.is_least else int.__repr__(self)

    def plus(self, other: Count) -> Count:
        return Count(self + other, self.is_least or other.is_least)


class Counts(dict[tuple[str, str, str], Count]):
    """By (queue, type, status). What is not there is 0."""

    def __missing__(self, key: object) -> Count:
        return Count(0)


class Times:
    """How long something took, many times. Times are in seconds."""

    __slots__ = ("_buckets", "_seconds")

    def __init__(self, seconds: float = 0.0, buckets: tuple[int, ...] | str = ()) -> None:
        """`buckets`: as in the table `stat`, they are decoded when they are first read. Most callers read them of few lanes, or
        of none."""
        self._seconds = seconds
        self._buckets = buckets

    @property
    def seconds(self) -> float:
        """The sum."""
        return self._seconds

    @property
    def buckets(self) -> tuple[int, ...]:
        """How many times lie in each bucket: see `BOUNDS`. Buckets above the longest time may be left out."""
        buckets = self._buckets
        if not isinstance(buckets, tuple):
            padded = "" if buckets == "0" else buckets.rjust(-(-len(buckets) // DIGITS) * DIGITS, "0")
            buckets = tuple(int(padded[place - DIGITS : place]) for place in range(len(padded), 0, -DIGITS))
            self._buckets = buckets
        return buckets

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Times):
            return NotImplemented
        return (self.seconds, self.buckets) == (other.seconds, other.buckets)

    def __hash__(self) -> int:
        return hash((self.seconds, self.buckets))

    def __repr__(self) -> str:
        return f"Times(seconds={self.seconds!r}, buckets={self.buckets!r})"

    @property
    def count(self) -> int:
        return sum(self.buckets)

    @property
    def mean(self) -> float | None:
        """None: there was none."""
        return self.seconds / self.count if self.count else None

    def percentile(self, percent: float) -> float | None:
        """The time that `percent`, 0 to 100, of the times did not exceed: the middle of its bucket.

        So from a millisecond to a day it is off by at most 19%. Below a millisecond it is 0.0005. None: there was none. Raises
        TypeError and ValueError.
        """
        if isinstance(percent, bool) or not isinstance(percent, int | float):
            raise TypeError(f"percent must be a number, not {type(percent).__name__}")
        if not 0 <= percent <= 100:
            raise ValueError(f"percent must be 0 to 100, not {percent}")
        count = self.count
        before = 0
        for bucket, times in enumerate(self.buckets):
            before += times
            if times and before >= count * percent / 100:
                return _middle(bucket)
        return None

    @property
    def p50(self) -> float | None:
        return self.percentile(50)

    @property
    def p95(self) -> float | None:
        return self.percentile(95)

    @property
    def p99(self) -> float | None:
        return self.percentile(99)

    def __add__(self, other: Times) -> Times:
        """Both together. Their percentiles stay as exact as before."""
        if other._buckets == ():
            return self
        if self._buckets == ():
            return other
        longer, shorter = sorted((self.buckets, other.buckets), key=len, reverse=True)
        merged = tuple(a + b for a, b in zip(longer, shorter, strict=False)) + longer[len(shorter) :]
        return Times(self.seconds + other.seconds, merged)


def _middle(bucket: int) -> float:
    if bucket == 0:
        return _FIRST
    if bucket >= len(BOUNDS):
        return BOUNDS[-1]
    return sqrt(BOUNDS[bucket - 1] * BOUNDS[bucket])


@dataclass(frozen=True, slots=True)
class LaneStats:
    """The jobs of one queue and type, or of several together: see `Stats.total`."""

    queue: str | None
    """None: of several queues together."""
    type: str | None
    """None: of several types together."""
    pending: Count = Count()  # noqa: RUF009 - never changed
    running: Count = Count()  # noqa: RUF009
    oldest_due: datetime | None = None
    """When the job that has waited for longest became due. None: no job is due."""
    latency: float = 0.0
    """How many seconds ago that was."""
    completed: int = 0
    """Jobs that completed. This field and those below count what happened in the span of the Stats."""
    failed: int = 0
    """Jobs that failed for good."""
    cancelled: int = 0
    """Jobs that were cancelled, or had expired."""
    retried: int = 0
    """Attempts after which the job is tried again."""
    crashed: int = 0
    """Attempts that ended with the death of their process."""
    run: Times = Times()  # noqa: RUF009 - never changed
    """How long the attempts ran. Snoozed attempts do not count."""
    wait: Times = Times()  # noqa: RUF009
    """How long their jobs had been due when these attempts began."""

    @property
    def ended(self) -> int:
        return self.completed + self.failed + self.cancelled

    def plus(self, other: LaneStats) -> LaneStats:
        """Both together. A queue or a type that differs becomes None."""
        older = min((one for one in (self, other) if one.oldest_due), key=lambda one: str(one.oldest_due), default=self)
        return LaneStats(
            self.queue if self.queue == other.queue else None,
            self.type if self.type == other.type else None,
            self.pending.plus(other.pending),
            self.running.plus(other.running),
            older.oldest_due,
            older.latency,
            self.completed + other.completed,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
            self.retried + other.retried,
            self.crashed + other.crashed,
            self.run + other.run,
            self.wait + other.wait,
        )


class StatusPreview(TypedDict):
    """A row of `Stats.preview()`."""

    status: str
    count: int
    avg_duration_seconds: float | None


@dataclass(frozen=True)
class Stats:
    """What `stats()` returns. Times are by the database's clock."""

    at: datetime
    """The time of the call."""
    since: datetime
    """The span begins here: at a full minute, ten minutes or hour, so that it is at least as long as was asked for."""
    until: datetime
    """The span ends here."""
    lanes: Sequence[LaneStats] = ()
    """One for each queue and type, in this order."""
    pending: Count = Count()  # noqa: RUF009 - never changed
    """All pending jobs. If not all were counted, this is about how many there are, by PostgreSQL's statistics."""

    @cached_property
    def counts(self) -> Mapping[tuple[str, str, str], Count]:
        """By (queue, type, status): pending and running jobs as they are now; completed, failed and cancelled ones that ended
        in the span. What is not there is 0."""
        return counts_of(self.lanes)

    @property
    def seconds(self) -> float:
        """How long the span is."""
        return (self.until - self.since).total_seconds()

    @property
    def throughput(self) -> float:
        """How many jobs completed in a second."""
        return self.total().completed / self.seconds if self.seconds > 0 else 0.0

    def total(self, queue: str | None = None, type: str | None = None) -> LaneStats:
        """The lanes of this queue and this type together; None: of all queues, of all types."""
        chosen = [lane for lane in self.lanes if queue in (None, lane.queue) and type in (None, lane.type)]
        return reduce(LaneStats.plus, chosen) if chosen else LaneStats(queue, type)

    def preview(self) -> list[StatusPreview]:
        """A row for each of the five statuses: how many jobs have it, and `avg_duration_seconds`, the mean duration of all
        attempts of the span. That stands beside `completed` and `failed` only; elsewhere, and where no job is, it is None."""
        total = self.total()
        numbers = {
            Status.PENDING: total.pending,
            Status.RUNNING: total.running,
            Status.COMPLETED: total.completed,
            Status.FAILED: total.failed,
            Status.CANCELLED: total.cancelled,
        }
        return [
            {
                "status": str(status),
                "count": number,
                "avg_duration_seconds": total.run.mean if number and status in (Status.COMPLETED, Status.FAILED) else None,
            }
            for status, number in numbers.items()
        ]


def counts_of(lanes: Iterable[LaneStats]) -> Counts:
    counts = Counts()
    pending, running, completed, failed, cancelled = Status  # to read them of the Enum takes long
    for lane in lanes:
        queue, type = str(lane.queue), str(lane.type)
        if lane.pending:
            counts[queue, type, pending] = lane.pending
        if lane.running:
            counts[queue, type, running] = lane.running
        if lane.completed:
            counts[queue, type, completed] = Count(lane.completed)
        if lane.failed:
            counts[queue, type, failed] = Count(lane.failed)
        if lane.cancelled:
            counts[queue, type, cancelled] = Count(lane.cancelled)
    return counts


class QueueLatency(NamedTuple):
    """What an `on_queue_latency` listener is told."""

    is_over: bool
    """True: jobs have been due for longer than `over` seconds. False: not any more."""
    seconds: float
    """How long the job that has waited for longest has been due."""
    over: float
    queue: str | None
    """The queue that the listener watches; None: all queues."""
    lane: tuple[str, str] | None
    """The queue and type of that job. None: no job is due."""
