"""A histogram as a number, and the percentiles of what it counts."""

import random
from math import inf

import pytest

from steve import Count, LaneStats, Stats, Times
from steve._model.figures import LaneFigures
from steve._model.histogram import as_number
from steve.stats import BOUNDS
from tests.engine.figures.figures import AT


@pytest.mark.parametrize(
    ("counts", "number"),
    [
        ([], "0"),
        ([0, 0], "0"),
        ([7], "7"),
        ([0, 1], "1000000000000"),
        ([5, 0, 2, 0], "2000000000000000000000005"),
        ([999_999_999_999, 1], "1999999999999"),
    ],
)
def test_a_histogram_is_a_number_and_comes_back(counts: list[int], number: str) -> None:
    assert as_number(counts) == number
    while counts and not counts[-1]:
        counts.pop()
    assert Times(1.0, number).buckets == tuple(counts)


def test_to_add_the_numbers_is_to_add_the_histograms() -> None:
    random.seed(5)
    many = [[random.randrange(1000) for _ in range(len(BOUNDS) + 1)] for _ in range(20)]
    total = sum(int(as_number(one)) for one in many)
    assert Times(0.0, str(total)).buckets == tuple(map(sum, zip(*many, strict=True)))


def test_the_bounds_reach_from_a_millisecond_to_a_day() -> None:
    assert BOUNDS[0] == 0.001
    assert BOUNDS[-1] > 86_400
    assert len(LaneFigures().run) == len(BOUNDS) + 1


@pytest.mark.parametrize("percent", [0, 1, 50, 90, 99, 99.9, 100])
@pytest.mark.parametrize("spread", [(0.001, 0.01), (0.02, 3.0), (1.0, 80_000.0)])
def test_a_percentile_is_off_by_at_most_a_fifth(percent: float, spread: tuple[float, float]) -> None:
    random.seed(7)
    times = sorted(random.uniform(*spread) for _ in range(5_000))
    buckets = [sum(low <= time < high for time in times) for low, high in zip((0.0, *BOUNDS), (*BOUNDS, inf), strict=True)]
    exact = times[max(-int(-len(times) * percent // 100) - 1, 0)]
    found = Times(sum(times), tuple(buckets)).percentile(percent)
    assert found is not None
    assert 1 / 1.19 <= found / exact <= 1.19


@pytest.mark.parametrize(
    ("times", "p50", "mean"),
    [
        (Times(), None, None),
        (Times(0.0002, (1,)), 0.0005, 0.0002),
        (Times(1e6, (0,) * len(BOUNDS) + (1,)), BOUNDS[-1], 1e6),
        (Times(0.0, (0, 0)), None, None),
    ],
)
def test_times_at_the_ends_and_none_at_all(times: Times, p50: float | None, mean: float | None) -> None:
    assert (times.p50, times.mean) == (p50, mean)


@pytest.mark.parametrize(("percent", "error"), [(-1, ValueError), (101, ValueError), ("50", TypeError), (True, TypeError)])
def test_a_percentile_that_there_is_not_is_refused(percent: float, error: type[Exception]) -> None:
    with pytest.raises(error):
        Times(1.0, (1,)).percentile(percent)


def test_times_add_up_whatever_their_lengths() -> None:
    assert Times(1.0, (1, 2)) + Times(2.0, (0, 0, 3)) == Times(3.0, (1, 2, 3))
    assert Times(2.0, (0, 0, 3)) + Times(1.0, (1, 2)) == Times(3.0, (1, 2, 3))


def test_a_count_says_whether_there_may_be_more() -> None:
    assert (str(Count(5)), str(Count(5, True)), Count(5, True) + 1) == ("5", "5+", 6)
    assert Count(1).plus(Count(2, True)).is_least


def test_what_is_not_counted_is_none_and_a_total_is_of_all_lanes() -> None:
    lanes = (
        LaneStats("a", "x", pending=Count(1), completed=2, failed=1, run=Times(3.0, (0, 3))),
        LaneStats("a", "y", running=Count(4), cancelled=5, oldest_due=AT, latency=3.0),
        LaneStats("b", "x", completed=7, run=Times(7.0, (0, 7))),
    )
    stats = Stats(AT, AT, AT, lanes, Count(1))
    assert stats.counts["a", "x", "completed"] == 2
    assert stats.counts["a", "y", "running"] == 4
    assert stats.counts["no", "such", "pending"] == 0
    total = stats.total()
    assert (total.queue, total.type, total.completed, total.failed, total.cancelled) == (None, None, 9, 1, 5)
    assert (total.ended, total.run, total.oldest_due, total.latency) == (15, Times(10.0, (0, 10)), AT, 3.0)
    assert (stats.total(queue="a").completed, stats.total(type="x").completed) == (2, 9)
    assert stats.total(queue="none") == LaneStats("none", None)
    assert stats.throughput == 0.0
    assert [(row["status"], row["count"], row["avg_duration_seconds"]) for row in stats.preview()] == [
        ("pending", 1, None),
        ("running", 4, None),
        ("completed", 9, 1.0),
        ("failed", 1, 1.0),
        ("cancelled", 5, None),
    ]
