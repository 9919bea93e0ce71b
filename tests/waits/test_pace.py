"""How often the waits' thread looks."""

import pytest

from steve._model.tuning import Tuning
from steve._waits.pace import FREE_LOOKS, Pace

TUNING = Tuning(wait_looks=50, wait_share=0.25)


def looks_within(pace: Pace, seconds: float, *, begins_every: float | None = None, takes: float = 0.0) -> int:
    """How many looks are made if there is always a cause for one. `begins_every`: a wait begins so often when nobody waits."""
    now, end, looks = 100.0, 100.0 + seconds, 0
    begins_at = now
    while now < end:
        if begins_every is not None and now >= begins_at:
            pace.begin()
            begins_at += begins_every
        if pace.seconds_to_next(now) <= 0:
            looks += 1
            pace.looked(now, now + takes)
            now += takes
        now += 0.0005
    return looks


def test_looks_are_made_at_a_bounded_rate_however_often_there_is_a_cause() -> None:
    assert 95 <= looks_within(Pace(TUNING), 2.0) <= 100 + FREE_LOOKS


def test_a_process_that_waits_for_one_job_after_the_other_is_never_held_up() -> None:
    assert looks_within(Pace(TUNING), 1.0, begins_every=0.004) >= 400


def test_looks_take_no_more_than_their_share_of_the_time() -> None:
    looks = looks_within(Pace(TUNING), 10.0, takes=0.1)
    assert looks * 0.1 == pytest.approx(2.5, rel=0.1)


def test_a_wait_that_begins_does_not_have_to_wait_for_the_share_of_an_earlier_look() -> None:
    pace = Pace(TUNING)
    pace.looked(100.0, 105.0)
    assert pace.seconds_to_next(105.0) == pytest.approx(15.0)
    pace.begin()
    assert pace.seconds_to_next(105.0) == 0.0


def test_a_clock_that_stands_still_gives_no_credit() -> None:
    pace = Pace(TUNING)
    for _ in range(FREE_LOOKS):
        assert pace.seconds_to_next(100.0) == 0.0
        pace.looked(100.0, 100.0)
    assert pace.seconds_to_next(100.0) == pytest.approx(0.02)
    assert pace.seconds_to_next(100.02) == pytest.approx(0.0, abs=1e-9)
