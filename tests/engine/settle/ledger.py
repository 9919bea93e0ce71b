"""A settler with a dict in place of the database, and what it wrote and told."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from steve._database.failures import Refused, Transient
from steve._engine.events.event import Event
from steve._engine.settle.queue import SettleQueue
from steve._engine.settle.settler import Landed, Settler
from steve._engine.upkeep.outage import Outage
from steve._model.claimed import Claimed, Settled
from steve._model.outcome import Returned, Verdict, judge
from steve._model.tuning import Tuning

AT = datetime(2026, 1, 1, tzinfo=UTC)


def verdict(number: int, result: str = "1") -> Verdict:
    """On the job with this number: it returned `result`."""
    retry = (3, "exp", 2.0, 3600.0, 0.0)
    job = Claimed(
        UUID(int=number), "default", "a", 0, "{}", None, 1, 0, *retry, lease_no=7,
        claimed_at=AT, created_at=AT, run_at=AT, started_at=None,
    )  # fmt: skip
    return judge(job, Returned(result), begun=0.0)


def begun(verdict: Verdict, attempts: int = 1) -> Event:
    """The run that leads to this verdict begins."""
    return Event(verdict.job._replace(attempts=attempts), "host:1", None, None)


def settled(verdict: Verdict) -> Settled:
    return Settled(AT, AT, AT, AT, AT)


class Ledger:
    """A settler, and both its ports: `SettlePort`, which takes every group unless a test says otherwise, and `CommitPort`."""

    def __init__(self, **tuning: Any) -> None:
        """`tuning`: fields of Tuning. The waits are a hundredth of the usual ones."""
        values = Tuning(**{"backoff_first": 0.001, "backoff_most": 0.02, "aside_check": 0.005} | tuning)
        # what is written, and what goes wrong
        self.rows: dict[int, Verdict] = {}
        self.groups: list[list[int]] = []
        self.looked_up: list[list[int]] = []
        self.rehearsed: list[Verdict] = []
        self.log: set[int] = set()  # jobs that have a row of the log under their lease, left by another life of the job
        self.locked: set[int] = set()  # jobs whose rows somebody else has locked
        self.lock_patience = 0.0  # how long a write waits for such a lock
        self.careful_groups: list[list[int]] = []  # those that were written without waiting for locks
        self.blockers: list[tuple[str, float | None]] = [("process 42", 3.0)]
        self.asked_completed: list[list[int]] = []
        self.on_find_completed: Callable[[Sequence[Verdict]], None] = lambda group: None
        self.retried: set[int] = set()  # completed jobs that somebody has made pending again, so that their results are gone
        self.asked: dict[int, str] = {}  # jobs that are to be cancelled, and the errors that they then have
        self.on_write: Callable[[Sequence[Verdict]], None] = lambda group: None
        self.answer: Callable[[Landed], Landed] = lambda landed: landed
        # what is told
        self.told: list[Verdict] = []
        self.counted: list[Verdict] = []
        self.order: list[str] = []
        self.failing: list[list[str]] = []  # the loops that could not use the database when each verdict was told
        self.dropped = 0
        self.ended = threading.Event()

        self.outage = Outage()
        self.queue = SettleQueue(tuning=values)
        self.settler = Settler(queue=self.queue, database=self, commits=self, outage=self.outage, tuning=values)
        self.thread = threading.Thread(target=self.settler.run)

    # -- SettlePort -----------------------------------------------------------------------------------------------------

    def write(self, verdicts: Sequence[Verdict], now: float) -> Landed:
        self.groups.append([one.job.uid.int for one in verdicts])
        self.on_write(verdicts)
        if self.locked.intersection(one.job.uid.int for one in verdicts):
            time.sleep(self.lock_patience)
            raise Transient("canceling statement due to lock timeout", "55P03")
        if self.log.intersection(one.job.uid.int for one in verdicts):
            raise Refused("duplicate key", "23505")
        # No job is settled twice.
        new = {place: one for place, one in enumerate(verdicts, 1) if one.job.uid.int not in self.rows}
        self.rows |= {one.job.uid.int: one for one in new.values()}
        return self.answer({place: self._settled(one) for place, one in new.items()})

    def write_unlocked(self, verdicts: Sequence[Verdict], now: float) -> tuple[Landed, Collection[int]]:
        self.careful_groups.append([one.job.uid.int for one in verdicts])
        free = [place for place, one in enumerate(verdicts, 1) if one.job.uid.int not in self.locked]
        landed = self.write([verdicts[place - 1] for place in free], now)
        return {free[place - 1]: one for place, one in landed.items()}, set(range(1, len(verdicts) + 1)) - set(free)

    def find_blockers(self, jobs: Collection[UUID]) -> Sequence[tuple[str, float | None]]:
        return self.blockers

    def find_written(self, verdicts: Sequence[Verdict]) -> Landed:
        self.looked_up.append([one.job.uid.int for one in verdicts])
        return {place: self._settled(one) for place, one in enumerate(verdicts, 1) if self.rows.get(one.job.uid.int) == one}

    def _settled(self, verdict: Verdict) -> Settled:
        yields = verdict.status in ("pending", "failed")
        return settled(verdict)._replace(cancelled=self.asked.get(verdict.job.uid.int) if yields else None)

    def find_completed(self, verdicts: Sequence[Verdict]) -> dict[int, tuple[Settled, bool, str | None]]:
        self.asked_completed.append([one.job.uid.int for one in verdicts])
        self.on_find_completed(verdicts)
        found: dict[int, tuple[Settled, bool, str | None]] = {}
        for place, one in enumerate(verdicts, 1):
            row = self.rows.get(one.job.uid.int)
            if row is not None and row.job == one.job and row.status == "completed":
                found[place] = settled(row), one.job.uid.int not in self.retried, row.result
        return found

    def rehearse(self, verdict: Verdict) -> None:
        self.rehearsed.append(verdict)
        self.on_write([verdict])

    def forget_attempt(self, verdict: Verdict) -> None:
        self.log.discard(verdict.job.uid.int)

    # -- CommitPort -----------------------------------------------------------------------------------------------------

    def on_begun(self, event: Event) -> None:
        self.order.append(f"beginning of {event.job.attempts}")

    def on_settled(self, verdict: Verdict, settled: Settled | None) -> None:
        self.order.append(f"end of {verdict.job.attempts}")
        self.failing.append(self.outage.now()[0])
        self.told.append(verdict)

    def on_group_settled(self, verdicts: Sequence[Verdict]) -> None:
        self.counted += verdicts

    def on_dropped(self) -> None:
        self.dropped += 1

    def on_all_settled(self) -> None:
        self.ended.set()

    # -- for tests ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.thread.start()

    def put(self, *verdicts: Verdict) -> None:
        for one in verdicts:
            self.queue.put(one)

    def settle(self, *verdicts: Verdict) -> list[int]:
        """Put these into the queue, wait until the settler has ended, and return the numbers of the jobs that were told."""
        self.put(*verdicts)
        self.queue.end()
        self.start()
        self.thread.join(60)
        assert not self.thread.is_alive()
        assert self.ended.is_set()
        assert self.counted == self.told
        return [one.job.uid.int for one in self.told]

    def close(self) -> None:
        self.on_write = lambda group: None
        self.locked = set()
        self.queue.end()
        if self.thread.is_alive():
            self.thread.join(60)


# -- what goes wrong ----------------------------------------------------------------------------------------------------


def fails(times: int, error: Exception, *, written: bool = False) -> Callable[..., Any]:
    """Raises the error so many times, and passes afterwards. `written`: only after rows were written."""
    left = [times]

    def raise_or_pass(value: Any) -> Any:
        if left[0] > 0 and (value or not written):
            left[0] -= 1
            raise error
        return value

    return raise_or_pass


def in_turn(*errors: Exception | None) -> Callable[[Any], Any]:
    """Raises these errors in their order, passes for each None, and passes for ever afterwards."""
    left = iter(errors)

    def raise_or_pass(value: Any) -> Any:
        if (error := next(left, None)) is not None:
            raise error
        return value

    return raise_or_pass


def refuses(*numbers: int, error: Exception | None = None) -> Callable[[Sequence[Verdict]], None]:
    """Refuses every group in which one of these jobs has a result: its data is the cause."""

    def check(group: Sequence[Verdict]) -> None:
        if any(one.job.uid.int in numbers and one.result is not None for one in group):
            raise error or Refused("this text quotes the data", "22P05")

    return check


class Barrier:
    """Refuses every group with one of these jobs, whatever its outcome, until `numbers` is emptied: no data is the cause."""

    def __init__(self, *numbers: int, error: Exception) -> None:
        self.numbers = set(numbers)
        self.error = error

    def __call__(self, group: Sequence[Verdict]) -> None:
        if self.numbers.intersection(one.job.uid.int for one in group):
            raise self.error
