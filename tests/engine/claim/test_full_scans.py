"""What the scanner does for claims while full scans are slow."""

from typing import Any

import pytest

from steve._database.failures import Transient
from steve._engine.claim.full_scans import FullScans
from steve._engine.upkeep.outage import Outage
from steve._model.claim import Demand, Watermark
from steve._model.tuning import Tuning
from tests.clock import Clock
from tests.engine.claim.harness import TUNING, Harness, claimed, reply

JOB = claimed(4)


class FakeScans:
    """`ScanPort`: answers as the test says, and notes what was called."""

    def __init__(self, clock: Clock) -> None:
        self.heads: dict[int, Watermark] = {}
        self.clock = clock
        self.look_takes = 0.0
        self.full_scan_takes = 1.0
        self.measured: list[int] = []
        """For how many jobs a full scan was measured."""
        self.answers: list[list[tuple[str, float | None]] | Exception] = []
        """What `find_horizon` says, in turn."""
        self.calls: list[str] = []
        self.types: set[str] = set()

    def find_heads(self, demand: Demand) -> dict[int, Watermark]:
        self.calls.append("find_heads")
        self.types = set(demand.mosts)
        self.clock.now += self.look_takes
        return self.heads

    def time_full_scan(self, demand: Demand) -> float:
        self.calls.append("time_full_scan")
        self.measured.append(demand.n)
        return self.full_scan_takes

    def find_horizon(self) -> list[tuple[str, float | None]]:
        self.calls.append("find_horizon")
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.calls.append("close")


class Looks(Harness):
    """A claimer whose full scans are slow and that has claimed job 9, and the scanner beside it."""

    def __init__(self) -> None:
        tuning = Tuning(warn_scan=0.5)
        super().__init__(tuning=tuning)
        self.scans = FakeScans(self.clock)
        self.outage = Outage()
        full_scans = FullScans(
            database=self.scans,
            claimer=self.claimer,
            outage=self.outage,
            tuning=tuning,
            clock=self.clock,
        )
        self._look = full_scans.look
        self.database.answer = lambda: reply(9)._replace(scan_seconds=1.0)
        self.claimer.refill(2)
        self.database.answer = reply
        self.settle_down()
        assert self.claimer.watermarks.is_slow

    def look(self, seconds: float = 30.0) -> list[str]:
        """After so many seconds. Returns what the scanner asked of the database."""
        self.clock.now += seconds
        self.scans.calls = []
        self._look()
        return self.scans.calls


@pytest.fixture
def looks() -> Looks:
    return Looks()


def test_the_first_look_is_taken_at_once_and_the_next_after_a_multiple_of_its_duration(looks: Looks) -> None:
    """The full scan took a second. A look takes much less, so nothing waits twenty seconds for the first one."""
    looks.scans.look_takes = 0.1
    assert "find_heads" in looks.look(0.0)
    assert looks.scans.types == {"a"}
    assert looks.look(1.8) == []
    assert "find_heads" in looks.look(0.3)


def test_a_full_scan_is_measured_for_as_many_jobs_as_a_claim_asks_for(looks: Looks) -> None:
    looks.claimer.sizer.ran("a", 1e-6)
    looks.look()
    assert looks.scans.measured == [TUNING.claim_most]


def test_a_handler_that_is_set_makes_a_look_due_at_once(looks: Looks) -> None:
    looks.claimer.wake(full_scan=True)
    assert "find_heads" in looks.look(0.0)


def test_a_job_below_the_watermarks_wakes_the_claimer_and_others_do_not(looks: Looks) -> None:
    looks.look()
    assert not looks.claims()
    looks.scans.heads = {0: (JOB.run_at, JOB.uid)}
    looks.look()
    assert looks.claims()
    watermarks = looks.database.demands[-1].watermarks
    assert watermarks is not None
    assert watermarks[0] < (JOB.run_at, JOB.uid)


def test_whether_full_scans_are_still_slow_is_measured_once_in_a_while(looks: Looks) -> None:
    assert looks.look() == ["find_heads", "time_full_scan", "find_horizon"]
    # It took a second: the next measurement is twenty seconds away.
    assert looks.look(15.0) == ["find_heads"]
    looks.scans.full_scan_takes = 0.1  # too little for a warning
    assert looks.look(6.0) == ["find_heads", "time_full_scan"]
    assert looks.look(9.0) == ["find_heads"]
    assert looks.look(2.0) == ["find_heads", "time_full_scan"]


def test_once_full_scans_are_fast_again_the_scanner_leaves_them_to_the_claims(looks: Looks) -> None:
    looks.scans.full_scan_takes = 0.001
    assert looks.look() == ["find_heads", "time_full_scan"]
    assert looks.look(0.0) == ["close"]
    looks.claimer.wake()
    assert looks.claims()
    assert looks.database.demands[-1].watermarks is None


def test_what_keeps_full_scans_slow_is_named_once_whatever_the_first_questions_bring(
    looks: Looks, caplog: pytest.LogCaptureFixture
) -> None:
    looks.scans.full_scan_takes = 0.75
    looks.scans.answers = [
        Transient("away"),
        [],
        [("session 1 of report, active", 61.0), ("standby s", None)],
        [("again", 1.0)],
    ]
    for _ in range(5):
        looks.look()
    (line,) = [record.message for record in caplog.records if "looking through" in record.message]
    assert line.startswith("looking through the queue takes 0.75 s: dead rows cannot be removed, held by ")
    assert line.endswith(" held by session 1 of report, active, for 61 s; standby s")


def test_a_look_that_fails_is_an_outage_and_the_next_one_ends_it(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(demand: Any) -> dict[int, Watermark]:
        raise Transient("away")

    with monkeypatch.context() as patched:
        patched.setattr(looks.scans, "find_heads", fail)
        looks.look()
    assert looks.outage.now()[0] == ["the full scan"]
    looks.look()
    assert looks.outage.now()[0] == []
