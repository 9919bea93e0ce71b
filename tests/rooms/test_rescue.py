"""Who is taken for dead, as a table; and what a rescue does about it, given lists in place of the database."""

import itertools
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from steve._processes import Look, Process
from steve._rescue import Fate, Rescue, Vantage, judge_process
from steve.errors import Weather
from steve.job import AttemptStatus, Claimed, Settled, Status
from steve.outcome import Verdict
from steve.settings import LET_IN, SETTLED_IN, SUSPICION

WELL = Vantage(connected=1000.0, unbroken=1000.0, server_up=1000.0)
LEASE = 60.0
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def process(silent: float = 1.0, suspected: float | None = None, free: bool = False, id: int = 2) -> Process:
    return Process(id, f"host:{id}", LEASE, silent, suspected, 1.5e9, free)


FATES = {
    "lives": (process(), WELL, Fate.ALIVE),
    "has just lost its session": (process(free=True), WELL, Fate.SUSPECT),
    "is suspected, not long": (process(suspected=SUSPICION - 0.1, free=True), WELL, Fate.ALIVE),
    "is suspected for long enough": (process(suspected=SUSPICION, free=True), WELL, Fate.DEAD),
    "was suspected and has a session again": (process(suspected=SUSPICION), WELL, Fate.ALIVE),
    "is silent, not for its lease": (process(silent=LEASE - 0.1), WELL, Fate.ALIVE),
    "is silent for its lease": (process(silent=LEASE), WELL, Fate.STALLED),
    "was found stalled a moment ago": (process(silent=LEASE + 1, suspected=1.0), WELL, Fate.ALIVE),
    "was found stalled a lease ago": (process(silent=2 * LEASE, suspected=LEASE), WELL, Fate.STALLED),
    "behind a pooler, silent for long": (process(silent=10 * LEASE)._replace(locked=False), WELL, Fate.DEAD),
    "behind a pooler, silent not for long": (process(silent=10 * LEASE - 1)._replace(locked=False), WELL, Fate.STALLED),
    "has its session, silent for long": (process(silent=10 * LEASE), WELL, Fate.STALLED),
    "was found stalled, and has died since": (process(silent=LEASE + 5, suspected=5.0, free=True), WELL, Fate.DEAD),
    "seen over a new connection": (process(free=True), WELL._replace(connected=SETTLED_IN - 0.1), Fate.ALIVE),
    "dead, over a new connection": (process(1, 9, free=True), WELL._replace(connected=SETTLED_IN - 0.1), Fate.ALIVE),
    "dead, the server is new": (process(1, 9, free=True), WELL._replace(server_up=LET_IN - 0.1), Fate.ALIVE),
    "stalled, the server is new": (process(silent=99), WELL._replace(server_up=LEASE - 0.1), Fate.ALIVE),
    "stalled, of a short lease, the server is new": (process(9)._replace(lease=1.0), WELL._replace(server_up=9), Fate.ALIVE),
    "stalled, of a short lease, and so were we": (process(9)._replace(lease=1.0), WELL._replace(unbroken=4), Fate.ALIVE),
    "stalled, and so were we": (process(silent=99), WELL._replace(unbroken=LEASE - 0.1), Fate.ALIVE),
    "dead, and we were stalled": (process(1, 9, free=True), WELL._replace(unbroken=0.0), Fate.DEAD),
}


@pytest.mark.parametrize(("seen", "own", "fate"), FATES.values(), ids=FATES)
def test_a_process_that(seen: Process, own: Vantage, fate: Fate) -> None:
    assert judge_process(seen, own) is fate


def verdict(number: int, status: Status) -> tuple[Verdict, Settled]:
    retry = (3, "exp", 2.0, 3600.0, 0.0)
    job = Claimed(
        number, UUID(int=number), "default", "a", 0, "{}", "it died", 1, 1, *retry, lease_no=1,
        claimed_at=NOON, created_at=NOON, run_at=NOON, started_at=None,
    )  # fmt: skip
    settled = Settled(number, 1, NOON, NOON, NOON, None, NOON)
    return Verdict(job, None, status, AttemptStatus.CRASHED, error="it died", delay=None), settled


class Ward:
    """A rescue, and what it did."""

    def __init__(self, lease: float = LEASE) -> None:
        self.suspected: list[Process] = []
        self.asked: list[tuple[int, bool]] = []
        self.held = [[verdict(1, Status.PENDING), verdict(2, Status.FAILED)], [verdict(3, Status.PENDING)]]
        self.told: list[tuple[str, int]] = []
        self.adopted = itertools.count()
        self.rescue = Rescue(
            self.suspected.append,
            self._take,
            lambda: [next(self.adopted)],
            lambda process, verdict, settled: self.told.append((process.name, verdict.job.id)),
            lease,
        )

    def _take(self, process: Process, dead: bool, reason: str) -> Sequence[tuple[Verdict, Settled]]:
        self.asked.append((process.id, dead))
        return self.held.pop(0) if self.held else []


def look(*others: Process) -> Look:
    return Look(process(id=1), list(others), True, 1000.0)


def test_what_was_seen_is_done_once() -> None:
    ward = Ward()
    ward.rescue.look(look(process(), process(free=True, id=3), process(1, 9, free=True, id=4)), 1000.0, 1000.0)
    assert ward.rescue.work()
    assert [one.id for one in ward.suspected] == [3]
    assert ward.asked == [(4, True)] * 3  # until there is nothing more
    assert not ward.rescue.work()


def test_of_two_looks_the_later_one_counts() -> None:
    ward = Ward()
    ward.rescue.look(look(process(1, 9, free=True)), 1000.0, 1000.0)
    ward.rescue.look(look(process()), 1000.0, 1000.0)
    assert not ward.rescue.work()
    assert ward.asked == []


def test_who_listens_hears_of_the_jobs_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    ward = Ward()
    ward.rescue.look(look(process(silent=99)), 1000.0, 1000.0)
    ward.rescue.work()
    assert ward.asked == [(2, False)] * 3
    assert ward.told == [("host:2", 2)]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, f"job {UUID(int=2)} failed: it died"),
        (logging.WARNING, "process host:2 gave no sign of life for 99 s: of its jobs 2 are pending again, 1 failed"),
    ]


def test_processes_without_a_row_get_one_once_a_lease() -> None:
    ward = Ward(lease=0.0)
    assert ward.rescue.adopt()
    assert ward.rescue.adopt()
    assert next(ward.adopted) == 2
    assert not Ward().rescue.adopt()


def test_an_adoption_that_fails_is_tried_again_soon_and_not_after_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._rescue.AGAIN_SECONDS", 0.0)
    tried: list[int] = []

    def adopt() -> list[int]:
        tried.append(1)
        if len(tried) == 1:
            raise Weather("the database is away")
        return []

    rescue = Rescue(lambda process: None, lambda *_: [], adopt, lambda *_: None, lease=60.0)
    rescue._adopted_at -= 60.0
    with pytest.raises(Weather):
        rescue.adopt()
    assert rescue.adopt()
    assert not rescue.adopt()
