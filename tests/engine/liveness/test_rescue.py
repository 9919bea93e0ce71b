"""Who is taken for dead, as a table; and what a rescue does about it, given lists in place of the database."""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from steve._model.process import Process
from steve._engine.liveness.rescue import ProcessState, Rescue, Observation, Observations, Observer, judge_process
from steve.job import AttemptStatus, Status
from steve._model.claimed import Claimed, Settled
from steve._model.outcome import Verdict
from steve._model.settings import LET_IN, SETTLED_IN, SUSPICION

WELL = Observer(connected=1000.0, unbroken=1000.0, server_up=1000.0)
LEASE = 60.0
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


BEATEN = 1.5e9


def process(free: bool = False, id: int = 2, suspected_at: float | None = None, beaten_at: float = BEATEN) -> Process:
    return Process(id, f"host:{id}", LEASE, beaten_at, suspected_at, free)


def seen(silent: float = 1.0, suspected: float | None = None, free: bool = False, **more: Any) -> Observation:
    return Observation(process(free)._replace(**more), silent, suspected)


FATES = {
    "lives": (seen(), WELL, ProcessState.ALIVE),
    "has just lost its session": (seen(free=True), WELL, ProcessState.SUSPECT),
    "is suspected, not long": (seen(suspected=SUSPICION - 0.1, free=True), WELL, ProcessState.ALIVE),
    "is suspected for long enough": (seen(suspected=SUSPICION, free=True), WELL, ProcessState.DEAD),
    "was suspected and has a session again": (seen(suspected=SUSPICION), WELL, ProcessState.ALIVE),
    "is silent, not for its lease": (seen(silent=LEASE - 0.1), WELL, ProcessState.ALIVE),
    "is silent for its lease": (seen(silent=LEASE), WELL, ProcessState.STALLED),
    "was found stalled a moment ago": (seen(silent=LEASE + 1, suspected=1.0), WELL, ProcessState.ALIVE),
    "was found stalled a lease ago": (seen(silent=2 * LEASE, suspected=LEASE), WELL, ProcessState.STALLED),
    "behind a pooler, silent for long": (seen(silent=10 * LEASE, locked=False), WELL, ProcessState.DEAD),
    "behind a pooler, silent not for long": (seen(silent=10 * LEASE - 1, locked=False), WELL, ProcessState.STALLED),
    "has its session, silent for long": (seen(silent=10 * LEASE), WELL, ProcessState.STALLED),
    "has lost its session, and its lease is short": (seen(9, 1.0, free=True, lease=1.0), WELL, ProcessState.ALIVE),
    "was found stalled, and has died since": (seen(silent=LEASE + 5, suspected=5.0, free=True), WELL, ProcessState.DEAD),
    "seen over a new connection": (seen(free=True), WELL._replace(connected=SETTLED_IN - 0.1), ProcessState.ALIVE),
    "dead, over a new connection": (seen(1, 9, free=True), WELL._replace(connected=SETTLED_IN - 0.1), ProcessState.ALIVE),
    "dead, the server is new": (seen(1, 9, free=True), WELL._replace(server_up=LET_IN - 0.1), ProcessState.ALIVE),
    "stalled, the server is new": (seen(silent=99), WELL._replace(server_up=LEASE - 0.1), ProcessState.ALIVE),
    "stalled, of a short lease, the server is new": (seen(9, lease=1.0), WELL._replace(server_up=9), ProcessState.ALIVE),
    "stalled, of a short lease, and so were we": (seen(9, lease=1.0), WELL._replace(unbroken=4), ProcessState.ALIVE),
    "stalled, and so were we": (seen(silent=99), WELL._replace(unbroken=LEASE - 0.1), ProcessState.ALIVE),
    "dead, and we were stalled": (seen(1, 9, free=True), WELL._replace(unbroken=0.0), ProcessState.DEAD),
}


@pytest.mark.parametrize(("sighting", "own", "fate"), FATES.values(), ids=FATES)
def test_a_process_that(sighting: Observation, own: Observer, fate: ProcessState) -> None:
    assert judge_process(sighting, own) is fate


# -- for how long, by the own clock ---------------------------------------------------------------------------------------


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("steve._engine.liveness.rescue.time.monotonic", clock)
    return clock


def test_silence_begins_when_a_heartbeat_is_first_seen_whatever_time_it_bears(clock: Clock) -> None:
    sightings = Observations()
    assert sightings.see([process(beaten_at=BEATEN - 90 * 86_400)])[0].silent == 0.0
    clock.now += 50.0
    assert sightings.see([process(beaten_at=BEATEN - 90 * 86_400)])[0].silent == 50.0
    clock.now += 5.0
    assert sightings.see([process(beaten_at=BEATEN + 3_600)])[0].silent == 0.0, "the server's clock was set forward"
    clock.now += 5.0
    assert sightings.see([process(beaten_at=BEATEN)])[0].silent == 0.0, "and back"


def test_a_suspicion_is_as_old_as_it_has_been_seen(clock: Clock) -> None:
    sightings = Observations()
    suspected = process(free=True, suspected_at=BEATEN - 3_600)
    assert sightings.see([suspected])[0].suspected == 0.0
    clock.now += 3.5
    assert sightings.see([suspected])[0].suspected == 3.5
    assert sightings.see([process()])[0].suspected is None
    assert sightings.see([suspected])[0].suspected == 0.0


def test_its_own_suspicion_a_process_knows_from_the_moment_that_it_was_written(clock: Clock) -> None:
    sightings = Observations()
    sightings.see([process(free=True)])
    sightings.suspects(2, BEATEN + 1)
    clock.now += 2.0
    assert sightings.see([process(free=True, suspected_at=BEATEN + 1)])[0].suspected == 2.0


def test_of_a_process_that_is_gone_nothing_is_remembered(clock: Clock) -> None:
    sightings = Observations()
    sightings.see([process(suspected_at=BEATEN)])
    sightings.see([])
    clock.now += 9.0
    assert sightings.see([process(suspected_at=BEATEN)]) == [Observation(process(suspected_at=BEATEN), 0.0, 0.0)]


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

    def __init__(self) -> None:
        self.suspected: list[Process] = []
        self.asked: list[tuple[int, bool]] = []
        self.held = [[verdict(1, Status.PENDING), verdict(2, Status.FAILED)], [verdict(3, Status.PENDING)]]
        self.told: list[tuple[str, int]] = []
        self.rescue = Rescue(self._suspect, self._take, lambda name, verdict, settled: self.told.append((name, verdict.job.id)))

    def _suspect(self, process: Process) -> float:
        self.suspected.append(process)
        return BEATEN + 1

    def _take(self, process: Process, dead: bool, reason: str, taken: Collection[int]) -> Sequence[tuple[Verdict, Settled]]:
        self.asked.append((process.id, dead))
        self.taken = set(taken)
        return self.held.pop(0) if self.held else []


def test_what_was_seen_is_done_once(clock: Clock) -> None:
    ward = Ward()
    dead = process(free=True, id=4, suspected_at=BEATEN)
    ward.rescue.look([dead], WELL)
    clock.now += SUSPICION
    ward.rescue.look([process(), process(free=True, id=3), dead], WELL)
    assert ward.rescue.work()
    assert [one.id for one in ward.suspected] == [3]
    assert ward.asked == [(4, True)] * 3  # until there is nothing more
    assert ward.taken == {1, 2, 3}, "what it claims anew meanwhile is not lost twice for one verdict"
    assert not ward.rescue.work()


def test_of_two_looks_the_later_one_counts() -> None:
    ward = Ward()
    ward.rescue.look([process(free=True)], WELL)
    ward.rescue.look([process()], WELL)
    assert not ward.rescue.work()
    assert ward.suspected == []


def test_a_process_that_it_suspects_itself_is_dead_after_the_time_that_it_was_given(clock: Clock) -> None:
    ward = Ward()
    ward.rescue.look([process(free=True)], WELL)
    ward.rescue.work()
    clock.now += SUSPICION
    ward.rescue.look([process(free=True, suspected_at=BEATEN + 1)], WELL)
    ward.rescue.work()
    assert ward.asked == [(2, True)] * 3


def test_who_listens_hears_of_the_jobs_that_failed(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    ward = Ward()
    ward.rescue.look([process()], WELL)
    clock.now += 99.0
    ward.rescue.look([process()], WELL)
    ward.rescue.work()
    assert ward.asked == [(2, False)] * 3
    assert ward.told == [("host:2", 2)]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, f"job {UUID(int=2)} failed: it died"),
        (logging.WARNING, "process host:2 gave no sign of life for 99 s: of its jobs 2 are pending again, 1 failed"),
    ]
