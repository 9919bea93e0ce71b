"""How long a loop waits before it tries to reach the database again. The clock is set by hand."""

from steve._database.backoff import Backoff
from steve._model.tuning import Tuning
from tests.clock import Clock


def test_the_wait_doubles_from_a_tenth_to_two_seconds_half_more_or_less() -> None:
    assert (Tuning().backoff_first, Tuning().backoff_most) == (0.1, 2.0)
    middles = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    runs = []
    for _ in range(200):
        backoff = Backoff(Tuning(), Clock())
        runs.append([backoff.next() for _ in middles])
    for middle, delays in zip(middles, zip(*runs, strict=True), strict=True):
        assert middle * 0.5 <= min(delays) < middle * 0.7
        assert middle * 1.3 < max(delays) <= middle * 1.5


def test_after_a_success_it_begins_again_at_the_first_wait() -> None:
    backoff = Backoff(Tuning(), Clock())
    for _ in range(10):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 0.15


def test_the_time_that_a_try_took_counts_as_waited() -> None:
    clock = Clock()
    backoff = Backoff(Tuning(), clock)
    for _ in range(10):
        clock.now += backoff.next()
    clock.now += 10.0
    clock.now += (wait := backoff.next())
    assert wait <= 0.15
    assert backoff.next() >= 1.0, "the try after it took no time"
