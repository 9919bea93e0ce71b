"""The brake: on when the queue is full, off when half of it is gone, and never on for good."""

import threading
from collections import deque

from steve._engine.upkeep.backpressure import Backpressure


class Queue:
    """So full, by hand."""

    def __init__(self) -> None:
        self.level = 0.0
        self.brake = Backpressure(lambda: self.level)

    def at(self, level: float) -> bool:
        """Whether the brake is on when who empties has brought the queue to that level, and who fills asks."""
        self.level = level
        self.brake.ease()
        return self.brake.check()


def test_it_is_off_until_the_queue_is_full_and_on_until_half_is_gone() -> None:
    queue = Queue()
    levels = [0.0, 0.5, 0.9, 0.999, 1.0, 0.999, 0.9, 0.51, 0.5, 0.7, 0.999, 1.5, 0.6, 0.4, 0.0]
    on = [queue.at(level) for level in levels]
    assert on == [False] * 4 + [True] * 4 + [False] * 3 + [True] * 2 + [False] * 2


def test_it_stays_on_until_it_is_eased_and_looks_at_the_level_itself_before() -> None:
    queue = Queue()
    queue.level = 1.0
    assert queue.brake.check()
    queue.level = 0.0
    assert queue.brake.check()  # who fills does not look again
    queue.brake.ease()
    assert not queue.brake.check()
    queue.brake.ease()  # once more is harmless
    assert not queue.brake.check()


def test_it_does_not_stay_on_when_the_queue_is_emptied_between_the_look_and_the_decision() -> None:
    levels = deque([1.0, 0.0])  # full at the first look; empty, and nobody will come to ease it, at the second
    brake = Backpressure(lambda: levels.popleft() if len(levels) > 1 else levels[0])
    assert not brake.check()
    assert not brake.check()


def test_waiting_ends_when_it_is_eased_or_the_time_is_over() -> None:
    queue = Queue()
    queue.brake.wait(60)  # off: at once
    assert queue.at(1.0)
    queue.brake.wait(0.01)
    assert queue.brake.check()
    waiting = threading.Thread(target=queue.brake.wait, args=(60,))
    waiting.start()
    assert not queue.at(0.5)
    waiting.join(10)
    assert not waiting.is_alive()


def test_who_fills_and_who_empties_at_full_speed_never_lock_each_other_out() -> None:
    items: deque[int] = deque()
    brake = Backpressure(lambda: len(items) / 4)
    total = 5_000
    taken: list[int] = []

    def fill() -> None:
        for number in range(total):
            while brake.check():
                brake.wait(60)
            items.append(number)

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    while filling.is_alive() or items:
        try:
            taken.append(items.popleft())
        except IndexError:
            filling.join(0.0001)
        brake.ease()
    assert taken == list(range(total))
