"""Whether somebody waits for jobs to end, as a process has heard."""

from steve._engine.settle.awaited import LONGEST, Awaited
from tests.clock import Clock


def test_nobody_waits_until_somebody_is_heard_of_and_after_the_time_is_over() -> None:
    clock = Clock()
    awaited = Awaited(clock=clock)
    assert not awaited.now()
    awaited.hear(None)
    assert not awaited.now()
    awaited.hear(15.0)
    assert awaited.now()
    clock.now += 14.9
    assert awaited.now()
    clock.now += 0.2
    assert not awaited.now()


def test_a_shorter_time_of_another_process_does_not_end_a_longer_one() -> None:
    clock = Clock()
    awaited = Awaited(clock=clock)
    awaited.hear(15.0)
    for seconds in (1.0, -3.0, None):
        awaited.hear(seconds)
    clock.now += 10.0
    assert awaited.now()


def test_an_absurd_time_is_not_believed() -> None:
    clock = Clock()
    awaited = Awaited(clock=clock)
    awaited.hear(float("inf"))
    clock.now += LONGEST + 0.1
    assert not awaited.now()
