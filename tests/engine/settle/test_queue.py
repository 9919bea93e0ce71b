"""The settler's queue: what one batch holds, the backpressure on the workers, and what an interrupted take() leaves."""

import threading
from typing import Any, cast

import pytest

from steve._engine.settle.queue import SettleQueue
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from tests.engine.settle.ledger import begun, verdict


def test_a_batch_has_at_most_so_many_verdicts() -> None:
    queue = SettleQueue(tuning=Tuning(group_most=10))
    for number in range(25):
        queue.put(verdict(number))
    assert [len(queue.take().verdicts) for _ in range(3)] == [10, 10, 5]


@pytest.mark.parametrize(
    ("last", "waiting", "gathers"),
    [(4, 0, True), (4, 1, True), (3, 1, False), (1, 0, False), (10, 6, False), (10, 5, True)],
    ids=["none waits", "one waits", "not busy", "a lone one", "enough wait", "not enough"],
)
def test_a_busy_settler_lets_verdicts_gather(last: int, waiting: int, gathers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = SettleQueue(tuning=Tuning(gather=0.5, gather_after=4, gathered=6))
    for number in range(last):
        queue.put(verdict(number))
    queue.take()
    for number in range(waiting):
        queue.put(verdict(number))
    slept: list[float] = []

    def come_meanwhile(seconds: float) -> None:
        slept.append(seconds)
        queue.put(verdict(100))
        queue.put(verdict(101))

    monkeypatch.setattr("steve._engine.settle.queue.time.sleep", come_meanwhile)
    batch = queue.take(0.0)
    assert slept == ([0.5] if gathers else [])
    assert len(batch.verdicts) == waiting + 2 * gathers, "what has come meanwhile is taken along"


def test_a_settler_that_is_to_end_lets_nothing_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = SettleQueue(tuning=Tuning(gather_after=1))
    monkeypatch.setattr("steve._engine.settle.queue.time.sleep", lambda seconds: pytest.fail("it slept"))
    queue.put(verdict(1))
    queue.take()
    queue.put(verdict(2))
    queue.end()
    assert queue.take().ended


def test_a_run_that_begins_is_not_counted_as_a_waiting_verdict() -> None:
    queue = SettleQueue(tuning=Tuning())
    for _ in range(3):
        queue.announce(begun(verdict(1)))
    queue.put(verdict(1))
    assert len(queue) == 1


def test_progress_counts_what_was_put_and_what_is_done_with() -> None:
    queue = SettleQueue(tuning=Tuning(group_most=2))
    for number in range(3):
        queue.put(verdict(number))
    assert (queue.progress(), queue.is_settled()) == ((3, 0), False)
    queue.take()
    assert (queue.progress(), queue.is_settled()) == ((3, 0), False), "the first two are being written"
    queue.take()
    assert (queue.progress(), queue.is_settled()) == ((3, 2), False)
    queue.take(seconds=0)
    assert (queue.progress(), queue.is_settled()) == ((3, 3), True)


@pytest.mark.parametrize(
    ("most", "size"),
    [({"unsettled_most": 10}, 1), ({"unsettled_bytes": 11_000}, 1_000)],
    ids=["verdicts", "bytes"],
)
def test_backpressure_lasts_from_a_full_queue_to_a_half_empty_one(most: dict[str, Any], size: int) -> None:
    queue = SettleQueue(tuning=Tuning(group_most=1, **most))
    engaged = []
    for number in range(12):
        engaged.append(queue.backpressure.engage_if_full())
        queue.put(verdict(number, "x" * size))
    assert engaged == [False] * 10 + [True] * 2
    engaged = []
    while len(queue):
        queue.take()
        engaged.append(queue.backpressure.engage_if_full())
    assert engaged == [True] * 6 + [False] * 6


def test_a_thread_that_lost_the_end_marker_comes_to_its_end() -> None:
    """Something broke the thread off when it had just taken the marker out of the queue."""
    queue = SettleQueue(tuning=Tuning())
    queue.put(verdict(1))
    queue.end()
    assert queue.take().ended, "the marker was taken"
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(queue.take().ended), daemon=True)
    thread.start()
    thread.join(20)
    assert ended == [True]


class Interrupting:
    """In place of a verdict: whatever takes it is broken off at once."""

    def __init__(self) -> None:
        self.looks = 0

    @property
    def size(self) -> int:
        self.looks += 1
        if self.looks > 1:  # the first look is put()'s
            raise SystemExit
        return 100


def test_a_verdict_lost_with_the_thread_that_took_it_is_not_counted_for_ever() -> None:
    queue = SettleQueue(tuning=Tuning())
    queue.put(cast(Verdict, Interrupting()))
    with pytest.raises(SystemExit):
        queue.take()
    assert not queue.is_settled()
    queue.reset_if_empty()
    assert queue.is_settled()
    queue.put(verdict(2))
    queue.reset_if_empty()
    assert len(queue) == 1
