"""What a process knows of pauses: which jobs they hold back, and what follows when one begins or ends."""

import random
import threading

import pytest

from steve._engine.claim.pauses import Pauses
from steve._engine.claim.sizer import ClaimSizer
from steve._engine.work.handlers import Handlers
from steve._engine.work.signals import RunSignals
from steve._model.pauses import Paused, PauseInForce
from tests.clock import Clock
from tests.engine.claim.harness import TUNING, claimed


class Harness:
    def __init__(self) -> None:
        self.clock = Clock()
        self.pauses = Pauses(clock=self.clock)
        self.did: list[str] = []
        self.pauses.on_paused = lambda: self.did.append("paused")
        self.pauses.on_resumed = lambda: self.did.append("resumed")

    def hear(self, *pauses: tuple[str | None, str | None, float | None]) -> list[str]:
        """Returns what followed."""
        self.did.clear()
        self.pauses.hear([PauseInForce(*one) for one in pauses])
        return self.did.copy()


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.mark.parametrize(
    ("paused", "queue", "type", "covers"),
    [
        ((None, None), "q", "a", True),
        (("q", None), "q", "a", True),
        (("q", None), "r", "a", False),
        ((None, "a"), "q", "a", True),
        ((None, "a"), "q", "b", False),
        (("q", "a"), "q", "a", True),
        (("q", "a"), "q", "b", False),
        (("q", "a"), "r", "a", False),
    ],
)
def test_which_jobs_a_pause_covers(paused: tuple[str | None, str | None], queue: str, type: str, covers: bool) -> None:
    assert Paused(*paused).covers(queue, type) is covers


@pytest.mark.parametrize(
    ("paused", "queues", "types", "concerns"),
    [
        ((None, None), ["q"], ["a"], True),
        ((None, None), ["q"], [], True),
        (("q", None), None, None, True),
        (("q", None), ["q"], ["a"], True),
        (("q", None), ["r"], None, False),
        ((None, "a"), ["r"], ["b"], False),
        ((None, "a"), None, ["a"], True),
        (("q", "a"), ["q"], ["b"], False),
        (("q", "a"), ["q"], None, True),
    ],
)
def test_which_pauses_concern_a_pool(
    paused: tuple[str | None, str | None], queues: list[str] | None, types: list[str] | None, concerns: bool
) -> None:
    assert Paused(*paused).concerns(lambda queue: queues is None or queue in queues, types) is concerns


def test_a_pause_holds_back_what_it_covers_until_it_is_not_there_any_more(harness: Harness) -> None:
    pauses, job = harness.pauses, claimed(1)  # in the queue "default", of the type "a"
    assert harness.hear() == []
    assert harness.hear(("default", None, None), ("other", "b", None)) == ["paused"]
    assert pauses.now() == (Paused("default", None), Paused("other", "b"))
    assert pauses.cover(job)
    assert harness.hear(("default", None, None)) == ["resumed"]
    assert harness.hear(("default", None, None)) == []
    assert harness.hear((None, "a", None)) == ["paused", "resumed"]
    assert pauses.cover(job)
    assert harness.hear() == ["resumed"]
    assert not pauses.cover(job)
    assert pauses.known == ()


def test_a_look_that_could_not_tell_changes_nothing(harness: Harness) -> None:
    harness.hear((None, None, None))
    harness.did.clear()
    harness.pauses.hear(None)
    assert harness.pauses.cover(claimed(1))
    assert harness.did == []


def test_a_pause_ends_when_its_time_is_over_whoever_asks_first(harness: Harness) -> None:
    harness.hear((None, "a", 5.0), ("q", None, 9.0))
    pauses = harness.pauses
    assert pauses.sooner(None) == 5.0
    assert (pauses.sooner(3.0), pauses.sooner(7.0)) == (3.0, 5.0)
    harness.clock.now += 4.9
    assert pauses.cover(claimed(1))
    harness.clock.now += 0.2
    assert not pauses.cover(claimed(1))
    harness.did.clear()
    assert pauses.now() == (Paused("q", None),)
    assert harness.did == ["resumed"]
    assert pauses.now() == (Paused("q", None),)
    assert harness.did == ["resumed"], "once"
    assert pauses.sooner(None) == pytest.approx(3.9)


def test_a_look_moves_the_end_of_a_pause(harness: Harness) -> None:
    harness.hear((None, "a", 5.0))
    harness.clock.now += 4.0
    assert harness.hear((None, "a", 60.0)) == []
    harness.clock.now += 30.0
    assert harness.pauses.cover(claimed(1))
    assert harness.hear((None, "a", None)) == []
    assert harness.pauses.sooner(None) is None


def test_pauses_of_queues_that_it_does_not_serve_are_nothing_to_a_pool() -> None:
    pauses = Pauses()
    sizer = ClaimSizer(
        handlers=Handlers(print, {}), workers=1, tuning=TUNING, pauses=pauses, serves=lambda queue: queue == "default"
    )
    pauses.hear([PauseInForce("other", None, None), PauseInForce("other", "a", None), PauseInForce(None, "a", None)])
    assert list(sizer.demand(idle=1, buffered=0, watermarks=None).paused) == [Paused(None, "a")]


def test_a_process_that_holds_all_begins_nothing_whatever_it_hears(harness: Harness) -> None:
    harness.pauses.hold_all()
    assert harness.did == ["paused"]
    for heard in ([], [("q", None, 1.0)], []):
        harness.hear(*heard)
        assert harness.pauses.cover(claimed(1))
        assert harness.pauses.now()[0].covers_all()
    harness.clock.now += 1e6
    assert harness.pauses.cover(claimed(1))


def test_what_is_heard_while_others_ask_is_never_lost() -> None:
    """`now()` drops the pauses that are over. It must not put back what it has read before a look."""
    pauses = Pauses()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            pauses.now()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    chance = random.Random(1)
    try:
        for number in range(3_000):
            pauses.hear([PauseInForce("short", None, chance.choice([1e-9, 1e-5])), PauseInForce(str(number), None, None)])
            assert Paused(str(number), None) in pauses.now()
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_a_worker_asks_before_it_begins_a_job() -> None:
    pauses = Pauses()
    signals = RunSignals(pauses=pauses)
    assert not signals.must_not_begin(claimed(1))
    pauses.hear([PauseInForce(None, "a", None)])
    assert signals.must_not_begin(claimed(1))
    assert not signals.must_not_begin(claimed(2, "b"))


def test_so_many_jobs_begin_and_no_more_and_those_that_are_held_back_do_not_count() -> None:
    pauses = Pauses()
    signals = RunSignals(pauses=pauses)
    signals.limit_jobs(2)
    pauses.hear([PauseInForce(None, "b", None)])
    assert [signals.must_not_begin(claimed(n, type)) for n, type in enumerate("babbabaa")] == [
        True, False, True, True, False, True, True, True,
    ]  # fmt: skip
    assert pauses.now()[0].covers_all(), "nothing more is claimed"


@pytest.mark.parametrize(
    ("handlers", "wanted"),
    [
        (Handlers(None, {"a": print}), [Paused("q", None), Paused(None, "a")]),
        (Handlers(None, {"c": print}), [Paused("q", None)]),
        (Handlers(print, {}), [Paused("q", None), Paused(None, "a"), Paused("q", "b")]),
    ],
)
def test_a_claim_leaves_out_what_concerns_the_types_that_have_a_handler(handlers: Handlers, wanted: list[Paused]) -> None:
    pauses = Pauses()
    sizer = ClaimSizer(handlers=handlers, workers=1, tuning=TUNING, pauses=pauses)
    assert list(sizer.demand(idle=1, buffered=0, watermarks=None).paused) == []
    pauses.hear([PauseInForce("q", None, None), PauseInForce(None, "a", None), PauseInForce("q", "b", None)])
    assert list(sizer.demand(idle=1, buffered=0, watermarks=None).paused) == wanted
