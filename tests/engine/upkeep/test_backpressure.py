"""Backpressure: engaged when the queue is full, released when half of it is gone, and never engaged for ever."""

import threading
from collections import deque

from steve._engine.upkeep.backpressure import Backpressure


class Queue:
    """Its level is set by hand."""

    def __init__(self) -> None:
        self.level = 0.0
        self.backpressure = Backpressure(level=lambda: self.level)

    def is_engaged_at(self, level: float) -> bool:
        """The emptying thread has brought the queue to that level, and a filling thread asks."""
        self.level = level
        self.backpressure.release_if_drained()
        return self.backpressure.engage_if_full()


def test_it_is_engaged_when_the_queue_is_full_until_half_is_gone() -> None:
    queue = Queue()
    levels = [0.0, 0.5, 0.9, 0.999, 1.0, 0.999, 0.9, 0.51, 0.5, 0.7, 0.999, 1.5, 0.6, 0.4, 0.0]
    engaged = [queue.is_engaged_at(level) for level in levels]
    assert engaged == [False] * 4 + [True] * 4 + [False] * 3 + [True] * 2 + [False] * 2


def test_it_is_released_by_the_emptying_thread_alone() -> None:
    queue = Queue()
    queue.level = 1.0
    assert queue.backpressure.engage_if_full()
    queue.level = 0.0
    assert queue.backpressure.engage_if_full(), "a filling thread does not look again"
    queue.backpressure.release_if_drained()
    assert not queue.backpressure.engage_if_full()
    queue.backpressure.release_if_drained()  # once more is harmless
    assert not queue.backpressure.engage_if_full()


def test_a_queue_that_is_emptied_during_the_decision_does_not_leave_it_engaged() -> None:
    levels = deque([1.0, 0.0])  # full at the first look; empty at the second, and no thread will come to release it
    backpressure = Backpressure(level=lambda: levels.popleft() if len(levels) > 1 else levels[0])
    assert not backpressure.engage_if_full()
    assert not backpressure.engage_if_full()


def test_each_beginning_of_the_pressure_is_reported_once() -> None:
    began: list[int] = []
    levels = [1.0]
    backpressure = Backpressure(level=lambda: levels[0], on_full=lambda: began.append(1))
    for _ in range(3):
        backpressure.engage_if_full()
    assert len(began) == 1
    levels[0] = 0.0
    backpressure.release_if_drained()
    levels[0] = 1.0
    backpressure.engage_if_full()
    assert len(began) == 2


def test_a_wait_ends_when_it_is_released_or_the_time_is_over() -> None:
    queue = Queue()
    queue.backpressure.wait(60)  # not engaged: at once
    assert queue.is_engaged_at(1.0)
    queue.backpressure.wait(0.01)
    assert queue.backpressure.engage_if_full()
    waiting = threading.Thread(target=queue.backpressure.wait, args=(60,), daemon=True)
    waiting.start()
    assert not queue.is_engaged_at(0.5)
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_filling_and_an_emptying_thread_never_lock_each_other_out() -> None:
    items: deque[int] = deque()
    backpressure = Backpressure(level=lambda: len(items) / 4)
    total = 5_000
    taken: list[int] = []

    def fill() -> None:
        for number in range(total):
            while backpressure.engage_if_full():
                backpressure.wait(60)
            items.append(number)

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    while filling.is_alive() or items:
        try:
            taken.append(items.popleft())
        except IndexError:
            filling.join(0.0001)
        backpressure.release_if_drained()
    assert taken == list(range(total))
