"""How much a claim asks for."""

from typing import Any

import pytest

from steve._engine.claim.sizer import ClaimSizer
from steve._engine.work.handlers import Handlers
from steve._model.claim import Demand, Watermark
from steve._model.tuning import Tuning
from tests.engine.claim.harness import TUNING, claimed

A_AND_B = Handlers(None, {"a": print, "b": print})
ALL = Handlers(print, {"a": print})


def make_sizer(handlers: Handlers = A_AND_B, workers: int = 1, tuning: Tuning = TUNING) -> ClaimSizer:
    return ClaimSizer(handlers=handlers, workers=workers, tuning=tuning)


def ask(
    durations: dict[str, float], handlers: Handlers, workers: int = 4, idle: int = 4, buffered: int = 0, payload: int = 0
) -> Demand:
    """What is asked for when handlers take so many seconds, and payloads have so many bytes."""
    sizer = make_sizer(handlers, workers)
    for type, seconds in durations.items():
        sizer.ran(type, seconds)
    if payload:
        for _ in range(20):  # it is a moving average
            sizer.claimed([claimed(1, payload="x" * payload)])
    return sizer.demand(idle=idle, buffered=buffered, watermarks=None)


AHEAD, MOST, BYTES = TUNING.claim_ahead, TUNING.claim_most, TUNING.claim_bytes


@pytest.mark.parametrize(
    ("arguments", "n", "mosts"),
    [
        # never run: as many as workers are idle
        ({"durations": {}}, 4, {"a": 4, "b": 4}),
        ({"durations": {}, "idle": 1}, 1, {"a": 1, "b": 1}),
        # as many as 4 workers begin within claim_ahead, and as workers are idle
        ({"durations": {"a": AHEAD / 10}}, 44, {"a": 44, "b": 4}),
        ({"durations": {"a": AHEAD / 10}, "idle": 0}, 40, {"a": 40, "b": 0}),
        ({"durations": {"a": 60.0}}, 4, {"a": 4, "b": 4}),
        # the mean of all types for n, each type's own for its limit
        ({"durations": {"a": AHEAD / 10, "b": AHEAD / 10}}, 44, {"a": 44, "b": 44}),
        # never more than a claim may bring
        ({"durations": {"a": 0.0}}, MOST, {"a": MOST, "b": 4}),
        ({"durations": {"a": 1e-9}, "workers": 1000, "idle": 1000}, MOST, {"a": MOST, "b": 1000}),
        # less what is in the buffer
        ({"durations": {"a": AHEAD / 10}, "buffered": 20}, 24, {"a": 44, "b": 4}),
        ({"durations": {"a": AHEAD / 10}, "buffered": 100}, 1, {"a": 44, "b": 4}),
        # and no more bytes than claim_bytes
        ({"durations": {"a": 0.0}, "payload": 1 << 20}, BYTES >> 20, {"a": MOST, "b": 4}),
        ({"durations": {"a": 0.0}, "payload": BYTES * 2}, 1, {"a": MOST, "b": 4}),
    ],
    ids=str,
)
def test_a_claim_asks_for_as_much_as_begins_soon(arguments: dict[str, Any], n: int, mosts: dict[str, int]) -> None:
    demand = ask(handlers=A_AND_B, **arguments)
    assert (demand.n, demand.mosts, demand.any_type) == (n, mosts, False)


def test_with_a_fallback_handler_each_type_has_a_limit_of_its_own() -> None:
    demand = ask({"known": AHEAD / 10, "a": 60.0}, ALL)
    assert demand.any_type
    assert demand.mosts == {"known": 44, "a": 4}
    assert demand.unknown_most == 4


@pytest.mark.parametrize("watermarks", [None, {}], ids=["full scan", "above the watermarks"])
def test_every_claim_asks_for_as_many_crashed_jobs_as_workers_are_idle(watermarks: dict[int, Watermark] | None) -> None:
    """While full scans are slow there is none that could bring them."""
    sizer = make_sizer()
    sizer.ran("a", 1e-6)
    assert sizer.demand(idle=3, buffered=0, watermarks=watermarks).crashed == 3


def test_only_so_many_durations_are_kept() -> None:
    sizer = make_sizer(Handlers(print, None), tuning=Tuning(types_most=10))
    for number in range(15):
        sizer.ran(f"type {number}", 1.0)
    mosts = sizer.demand(idle=1, buffered=0, watermarks=None).mosts
    assert "type 14" in mosts
    assert len(mosts) <= 10


def test_a_types_limit_follows_what_its_handler_takes_now() -> None:
    sizer = make_sizer()

    def most() -> int:
        return sizer.demand(idle=1, buffered=0, watermarks=None).mosts["a"]

    sizer.ran("a", 60.0)
    assert most() == 1
    for _ in range(60):
        sizer.ran("a", AHEAD / 10)
    assert most() >= 10
    for _ in range(3):
        sizer.ran("a", 60.0)
    assert most() == 1


# -- what a claim brought -------------------------------------------------------------------------------------------------


def test_what_a_claim_brought_takes_as_long_as_its_types_take_on_average() -> None:
    sizer = make_sizer()
    sizer.ran("a", 1.0)
    sizer.ran("b", 4.0)
    assert sizer.claimed([claimed(1), claimed(2), claimed(3, "b")]) == pytest.approx(2.0)
    assert sizer.claimed([claimed(1), claimed(2, "never run")]) == float("inf")
