"""What is counted of which outcome, and how long jobs waited."""

from typing import Any

import pytest

from steve._engine.figures.figures import OTHER, Figures
from steve._model.figures import LaneFigures
from steve._model.outcome import CancelRaised, NotBegun, Outcome, Overdue, Raised, Returned, Snoozed, Unusable, Verdict
from steve._model.tuning import Tuning
from steve.job import AttemptStatus, Status
from tests.engine.figures.figures import CLAIMED, verdict

FIELDS = ("completed", "failed", "cancelled", "retried", "crashed")


def counted(figures: LaneFigures | None) -> dict[str, int]:
    return {name: value for name in FIELDS if (value := getattr(figures, name, 0))}


RAISED = Raised("no", "why")


@pytest.mark.parametrize(
    ("outcome", "keywords", "expected", "runs"),
    [
        (Returned("1"), {}, {"completed": 1}, 1),
        (RAISED, {}, {"retried": 1}, 1),
        (RAISED, {"attempts": 3}, {"failed": 1}, 1),
        (RAISED._replace(is_final=True), {}, {"failed": 1}, 1),
        (Unusable("no"), {}, {"failed": 1}, 1),
        (CancelRaised("Cancelled", None), {}, {"cancelled": 1}, 1),
        (Overdue(), {"begun": None, "seconds": None}, {"cancelled": 1}, 0),
        (Snoozed(1.0), {}, {}, 0),
        (NotBegun(), {"begun": None, "seconds": None}, {}, 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, tuple) else None,
)
def test_each_outcome_counts_as_what_it_is(
    outcome: Outcome, keywords: dict[str, Any], expected: dict[str, int], runs: int
) -> None:
    figures = Figures(tuning=Tuning())
    figures.settled([verdict(outcome, **keywords)])
    lane = figures.take().get(("default", "a"))
    assert counted(lane) == expected
    assert (0 if lane is None else sum(lane.run)) == (0 if lane is None else sum(lane.wait)) == runs


def test_a_snoozed_job_that_was_cancelled_instead_counts_as_cancelled() -> None:
    figures = Figures(tuning=Tuning())
    figures.settled([verdict(Snoozed(1.0)).cancelled("Cancelled")])
    assert counted(figures.take()["default", "a"]) == {"cancelled": 1}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.PENDING, {"crashed": 1}),
        (Status.FAILED, {"crashed": 1, "failed": 1}),
        (Status.CANCELLED, {"crashed": 1, "cancelled": 1}),
    ],
)
def test_a_crash_counts_also_if_the_job_is_tried_again(status: Status, expected: dict[str, int]) -> None:
    figures = Figures(tuning=Tuning())
    figures.crashed(Verdict(verdict().job, None, status, AttemptStatus.CRASHED))
    assert counted(figures.take()["default", "a"]) == expected


def test_the_wait_is_from_the_due_time_to_the_begin_of_the_run() -> None:
    figures = Figures(tuning=Tuning())
    # Claimed together; the first began at once, the second half a second later.
    figures.settled([verdict(due_before=2.0), verdict(due_before=2.0, begun=CLAIMED + 0.5)])
    lane = figures.take()["default", "a"]
    assert lane.wait_seconds == pytest.approx(4.5)
    # What is known of the clocks stays a while: the next began late, and none at once.
    figures.settled([verdict(due_before=2.0, begun=CLAIMED + 1.0)])
    assert figures.take()["default", "a"].wait_seconds == pytest.approx(3.0)


def test_of_a_large_group_some_stand_for_the_others() -> None:
    """The runs are counted all the same."""
    figures = Figures(tuning=Tuning())
    for _ in range(50):
        figures.settled([verdict(type=f"t{number % 8}", due_before=1.0) for number in range(400)])
    lanes = figures.take().values()
    assert sum(sum(lane.run) for lane in lanes) == sum(sum(lane.wait) for lane in lanes) == 20_000
    assert sum(lane.wait_seconds for lane in lanes) == pytest.approx(20_000.0)
    assert len([lane for lane in lanes if sum(lane.wait)]) > 4, "though the jobs come in a rhythm"


def test_times_lie_in_their_buckets_and_add_up() -> None:
    figures = Figures(tuning=Tuning())
    figures.settled([verdict(seconds=seconds) for seconds in (0.0, 0.0009, 0.001, 0.0013, 1e9)])
    lane = figures.take()["default", "a"]
    assert (lane.run[0], lane.run[1], lane.run[-1], sum(lane.run)) == (2, 2, 1, 5)
    assert lane.run_seconds == pytest.approx(1e9)


def test_there_are_no_more_lanes_than_may_be_and_nothing_is_lost() -> None:
    figures = Figures(tuning=Tuning(stat_lanes=3))
    figures.settled([verdict(type=f"t{number % 10}") for number in range(100)])
    taken = figures.take()
    assert len(taken) == 3
    assert taken[OTHER].completed == 80
    assert sum(lane.completed for lane in taken.values()) == 100


def test_what_could_not_be_written_counts_with_what_comes() -> None:
    figures = Figures(tuning=Tuning(stat_lanes=3))
    figures.settled([verdict(type="a"), verdict(type="b")])
    taken = figures.take()
    figures.settled([verdict(type="c"), verdict(type="a")])
    figures.give_back(taken)
    again = figures.take()
    assert {lane: one.completed for lane, one in again.items()} == {("default", "c"): 1, ("default", "a"): 2, OTHER: 1}
    assert sum(sum(one.run) for one in again.values()) == 4
    assert figures.take() == {}
