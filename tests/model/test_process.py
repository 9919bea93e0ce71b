"""judge_process(): every rule about which process is taken for dead, as a table."""

import random
from typing import Any

import pytest

from steve._model.process import ID_BITS, Observation, Observer, Process, ProcessState, estimate_processes, judge_process
from steve._model.tuning import Tuning

TUNING = Tuning()
WELL = Observer(connected=1000.0, unbroken=1000.0, server_up=1000.0)
LEASE = 60.0


def seen(silent: float = 1.0, suspected: float | None = None, free: bool = False, **more: Any) -> Observation:
    return Observation(Process(2, "host:2", LEASE, 1.5e9, None, free)._replace(**more), silent, suspected)


SUSPICION, YOUNG, NEW = TUNING.suspicion, TUNING.observer_age - 0.1, TUNING.server_age - 0.1
ALIVE, SUSPECT, DEAD, STALLED = ProcessState.ALIVE, ProcessState.SUSPECT, ProcessState.DEAD, ProcessState.STALLED

RULES: dict[str, tuple[Observation, Observer, ProcessState]] = {
    # what is seen, the observer, the judgment
    "is well": (seen(), WELL, ALIVE),
    "has just lost its session": (seen(free=True), WELL, SUSPECT),
    "is suspected, not for long": (seen(suspected=SUSPICION - 0.1, free=True), WELL, ALIVE),
    "is suspected for long enough": (seen(suspected=SUSPICION, free=True), WELL, DEAD),
    "was suspected and has a session again": (seen(suspected=SUSPICION), WELL, ALIVE),
    "is silent, not for its lease": (seen(silent=LEASE - 0.1), WELL, ALIVE),
    "is silent for its lease": (seen(silent=LEASE), WELL, STALLED),
    "was found stalled a moment ago": (seen(silent=LEASE + 1, suspected=1.0), WELL, ALIVE),
    "was found stalled a lease ago": (seen(silent=2 * LEASE, suspected=LEASE), WELL, STALLED),
    "behind a pooler, is silent for long": (seen(silent=10 * LEASE, locked=False), WELL, DEAD),
    "behind a pooler, is silent, not for long": (seen(silent=10 * LEASE - 1, locked=False), WELL, STALLED),
    "has its session, is silent for long": (seen(silent=10 * LEASE), WELL, STALLED),
    "has a short lease, has lost its session": (seen(9, 1.0, free=True, lease=1.0), WELL, ALIVE),
    "was found stalled, has died since": (seen(silent=LEASE + 5, suspected=5.0, free=True), WELL, DEAD),
    "has lost its session, the observer too": (seen(free=True), WELL._replace(connected=YOUNG), ALIVE),
    "is dead, the observer is newly connected": (seen(1, 9, free=True), WELL._replace(connected=YOUNG), ALIVE),
    "is dead, the server is new": (seen(1, 9, free=True), WELL._replace(server_up=NEW), ALIVE),
    "is stalled, the server is new": (seen(silent=99), WELL._replace(server_up=LEASE - 0.1), ALIVE),
    "has a short lease, is stalled, the server is new": (seen(9, lease=1.0), WELL._replace(server_up=9), ALIVE),
    "has a short lease, is stalled, the observer was": (seen(9, lease=1.0), WELL._replace(unbroken=4), ALIVE),
    "is stalled, the observer was": (seen(silent=99), WELL._replace(unbroken=LEASE - 0.1), ALIVE),
    "is dead, the observer was stalled": (seen(1, 9, free=True), WELL._replace(unbroken=0.0), DEAD),
}


@pytest.mark.parametrize(("observation", "own", "state"), RULES.values(), ids=RULES)
def test_the_judgment_on_a_process_that(observation: Observation, own: Observer, state: ProcessState) -> None:
    assert judge_process(observation, own, TUNING) is state


@pytest.mark.parametrize("others", range(16))
def test_a_look_that_shows_fewer_processes_than_it_may_shows_all(others: int) -> None:
    assert estimate_processes(1 << 61, list(range(others)), 16) == others + 1


@pytest.mark.parametrize("processes", [17, 40, 200, 10_000])
def test_the_next_sixteen_in_the_ring_tell_how_many_processes_there_are(processes: int) -> None:
    chance = random.Random(processes)
    ids = sorted(chance.getrandbits(ID_BITS) for _ in range(processes))
    estimates = []
    for place in range(min(processes, 400)):
        others = [ids[(place + step) % processes] for step in range(1, 17)]
        estimates.append(estimate_processes(ids[place], others, 16))
    assert min(estimates) >= 17
    assert sorted(estimates)[len(estimates) // 2] == pytest.approx(processes, rel=0.2)
    assert max(estimates) <= processes * 4


def test_ids_that_lie_side_by_side_are_counted() -> None:
    assert estimate_processes(5, [6, 7], 2) > 1_000_000
    assert estimate_processes(2**ID_BITS - 1, [0, 1], 2) > 1_000_000, "the ring goes on at 0"
