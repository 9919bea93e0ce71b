"""Since when each process has looked as it does, and what a rescue does about it, with lists in place of the database."""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from steve._database.failures import DatabaseFailure, Transient
from steve._engine.liveness.heartbeat import how_many
from steve._engine.liveness.rescue import FORGET_SECONDS, Observations, Rescue
from steve._model.claimed import Claimed, Settled
from steve._model.outcome import Verdict
from steve._model.process import Observation, Observer, Process
from steve._model.tuning import Tuning
from steve.job import AttemptStatus, Status
from tests.clock import Clock

TUNING = Tuning()
WELL = Observer(connected=1000.0, unbroken=1000.0, server_up=1000.0)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEATEN = 1.5e9
"""By the server's clock."""


def process(free: bool = False, id: int = 2, suspected_at: float | None = None, beaten_at: float = BEATEN) -> Process:
    return Process(id, f"host:{id}", 60.0, beaten_at, suspected_at, free)


@pytest.fixture
def clock() -> Clock:
    return Clock()


# -- for how long, by the observer's clock --------------------------------------------------------------------------------


def test_silence_begins_when_a_heartbeat_is_first_seen(clock: Clock) -> None:
    """Whatever the server's clock says."""
    observations = Observations(clock=clock)
    assert observations.see([process(beaten_at=BEATEN - 90 * 86_400)])[0].silent == 0.0
    clock.now += 50.0
    assert observations.see([process(beaten_at=BEATEN - 90 * 86_400)])[0].silent == 50.0
    clock.now += 5.0
    assert observations.see([process(beaten_at=BEATEN + 3_600)])[0].silent == 0.0, "the server's clock was set forward"
    clock.now += 5.0
    assert observations.see([process(beaten_at=BEATEN)])[0].silent == 0.0, "and back"


def test_a_suspicion_is_as_old_as_it_has_been_seen(clock: Clock) -> None:
    observations = Observations(clock=clock)
    suspected = process(free=True, suspected_at=BEATEN - 3_600)
    assert observations.see([suspected])[0].suspected == 0.0
    clock.now += 3.5
    assert observations.see([suspected])[0].suspected == 3.5
    assert observations.see([process()])[0].suspected is None
    assert observations.see([suspected])[0].suspected == 0.0


def test_a_suspicion_of_its_own_begins_when_it_is_written(clock: Clock) -> None:
    observations = Observations(clock=clock)
    observations.see([process(free=True)])
    observations.suspected(2, BEATEN + 1)
    clock.now += 2.0
    assert observations.see([process(free=True, suspected_at=BEATEN + 1)])[0].suspected == 2.0


@pytest.mark.parametrize(("seconds", "remembered"), [(9.0, 9.0), (FORGET_SECONDS + 1.0, 0.0)])
def test_what_was_seen_of_a_process_is_remembered_while_it_is_not_shown(
    seconds: float, remembered: float, clock: Clock
) -> None:
    """A look shows some of the processes. One whose heartbeat is still the same was silent since it was shown."""
    observations = Observations(clock=clock)
    observations.see([process(suspected_at=BEATEN)])
    clock.now += seconds
    observations.see([])
    seen = observations.see([process(suspected_at=BEATEN)])
    assert seen == [Observation(process(suspected_at=BEATEN), remembered, remembered)]


@pytest.mark.parametrize("lock_is_free", [True, False], ids=["killed", "frozen"])
def test_one_process_rescues_a_fleet_that_is_gone(lock_is_free: bool, clock: Clock) -> None:
    """It looks at the next few of the others, and further while these seem dead."""
    began = clock.now
    rows = {id: Process(id, f"host:{id}", 60.0, began, None, lock_is_free) for id in range(1, 201)}
    rescued: set[int] = set()

    class Database:
        def suspect(self, process: Process) -> float:
            rows[process.id] = process._replace(suspected_at=clock.now)
            return clock.now

        def rescue(self, process: Process, *, dead: bool, reason: str, taken: Collection[int]) -> Sequence[Any]:
            rescued.add(process.id)
            if dead:
                rows.pop(process.id)
            else:
                rows[process.id] = process._replace(suspected_at=clock.now)
            return []

    rescue = Rescue(database=Database(), tell=lambda *_: None, tuning=TUNING, clock=clock)
    most = TUNING.look_most
    while len(rescued) < 200:
        assert clock.now - began < 600.0, sorted(set(range(1, 201)) - rescued)
        others = [rows[id] for id in sorted(rows)][:most]
        most = how_many(others, clock.now, TUNING)
        own = Observer(1_000.0 + clock.now - began, 1_000.0 + clock.now - began, 10_000.0)
        rescue.look(others, own)
        rescue.work()
        clock.now += TUNING.look_interval


# -- the rescue -----------------------------------------------------------------------------------------------------------


def verdict(number: int, status: Status) -> tuple[Verdict, Settled]:
    retry = (3, "exp", 2.0, 3600.0, 0.0)
    job = Claimed(
        UUID(int=number), "default", "a", 0, "{}", "it died", 1, 1, *retry, lease_no=1,
        claimed_at=NOON, created_at=NOON, run_at=NOON, started_at=None,
    )  # fmt: skip
    settled = Settled(NOON, NOON, NOON, None, NOON)
    return Verdict(job, None, status, AttemptStatus.CRASHED, error="it died", delay=None), settled


class Tables:
    """`RescuePort`: a dead process's jobs, in batches; and what the rescue asked and told."""

    def __init__(self, clock: Clock) -> None:
        self.failure: DatabaseFailure | None = None
        self.suspected: list[Process] = []
        self.asked: list[tuple[int, bool]] = []
        self.taken: set[UUID] = set()
        self.batches = [[verdict(1, Status.PENDING), verdict(2, Status.FAILED)], [verdict(3, Status.PENDING)]]
        self.counted: list[int] = []
        self.told: list[tuple[str, int]] = []
        self.rescuer = Rescue(database=self, tell=self._tell, tuning=TUNING, clock=clock)

    def suspect(self, process: Process) -> float | None:
        if self.failure is not None:
            raise self.failure
        self.suspected.append(process)
        return BEATEN + 1

    def rescue(
        self, process: Process, *, dead: bool, reason: str, taken: Collection[UUID]
    ) -> Sequence[tuple[Verdict, Settled]]:
        self.asked.append((process.id, dead))
        self.taken = set(taken)
        return self.batches.pop(0) if self.batches else []

    def _tell(self, process: str, verdict: Verdict, settled: Settled) -> None:
        self.counted.append(verdict.job.uid.int)
        if verdict.is_final:
            self.told.append((process, verdict.job.uid.int))


@pytest.fixture
def tables(clock: Clock) -> Tables:
    return Tables(clock)


def test_each_finding_is_acted_on_once(tables: Tables, clock: Clock) -> None:
    dead = process(free=True, id=4, suspected_at=BEATEN)
    tables.rescuer.look([dead], WELL)
    clock.now += TUNING.suspicion
    tables.rescuer.look([process(), process(free=True, id=3), dead], WELL)
    assert tables.rescuer.work()
    assert [one.id for one in tables.suspected] == [3]
    assert tables.asked == [(4, True)] * 3, "until there is nothing more"
    taken = {uid.int for uid in tables.taken}
    assert taken == {1, 2, 3}, "a job that it claims again meanwhile is not taken twice for one judgment"
    assert not tables.rescuer.work()


def test_a_finding_stays_until_it_could_be_acted_on(tables: Tables) -> None:
    """Otherwise there would be nothing to do until the next look, which would count as if the rescue worked again."""
    tables.rescuer.look([process(free=True)], WELL)
    tables.failure = Transient("away", None)
    for _ in range(2):
        with pytest.raises(Transient):
            tables.rescuer.work()
    tables.failure = None
    assert tables.rescuer.work()
    assert [one.id for one in tables.suspected] == [2]
    assert not tables.rescuer.work()


def test_of_two_looks_the_later_one_counts(tables: Tables) -> None:
    tables.rescuer.look([process(free=True)], WELL)
    tables.rescuer.look([process()], WELL)
    assert not tables.rescuer.work()
    assert tables.suspected == []


def test_a_process_that_it_suspected_itself_is_dead_after_the_suspicion(tables: Tables, clock: Clock) -> None:
    tables.rescuer.look([process(free=True)], WELL)
    tables.rescuer.work()
    clock.now += TUNING.suspicion
    tables.rescuer.look([process(free=True, suspected_at=BEATEN + 1)], WELL)
    tables.rescuer.work()
    assert tables.asked == [(2, True)] * 3


def test_the_jobs_that_fail_by_a_rescue_are_told_and_logged(
    tables: Tables, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    tables.rescuer.look([process()], WELL)
    clock.now += 99.0
    tables.rescuer.look([process()], WELL)
    tables.rescuer.work()
    assert tables.asked == [(2, False)] * 3
    assert tables.told == [("host:2", 2)]
    assert len(tables.counted) == 3, "also those that are pending again"
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, f"job {UUID(int=2)} failed: it died"),
        (logging.WARNING, "process host:2 gave no sign of life for 99 s: of its jobs 2 are pending again, 1 failed"),
    ]
