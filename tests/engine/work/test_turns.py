"""Chains of turns: one waits for work, the others are parked; a turn that fails does not end its chain; the exit does."""

import logging
import threading
from collections.abc import Callable

import pytest

from steve import Status
from steve._engine.upkeep.slot import Slot
from steve._engine.upkeep.thread_hooks import ThreadHooks
from steve._engine.upkeep.threads import Threads
from steve._engine.work.signals import RunSignals
from steve._engine.work.turns import Turns
from steve._model.tuning import Tuning
from tests.conftest import until
from tests.engine.claim.harness import TUNING, claimed
from tests.engine.work.harness import FakeEngine, PoolHarness

MakePool = Callable[..., PoolHarness]

# -- idle and parked ------------------------------------------------------------------------------------------------------


def test_of_the_chains_without_work_one_is_idle_and_the_others_are_parked(make_pool: MakePool) -> None:
    harness = make_pool(10)
    harness.start(*map(claimed, range(100)))
    until(lambda: len(harness.queue) == 100)
    until(lambda: harness.turns.has_idle() and harness.turns.at_work() == 0)


class OneWasIdle(Turns):
    """When a chain wants to become idle for the first time, another one is; and that one ends its wait right after."""

    was_asked = False

    def become_idle(self) -> bool:
        if not self.was_asked:
            self.was_asked = True
            return False
        return super().become_idle()


def test_a_chain_that_is_parked_while_the_idle_one_ends_its_wait_gets_another_turn(make_pool: MakePool) -> None:
    """Otherwise no chain would wait for work."""
    harness = make_pool(1, turns=OneWasIdle)
    harness.start()
    until(harness.turns.has_idle)
    assert harness.threads.turns >= 2


def test_an_idle_chain_ends_its_turn_again_and_again_and_claims_nothing_for_that(make_pool: MakePool) -> None:
    harness = make_pool(4, tuning=Tuning(idle_wait=0.01))
    harness.start()
    until(lambda: harness.threads.turns > 20)
    assert harness.database.claims == 1


def test_a_busy_chain_ends_its_turn_after_a_while(make_pool: MakePool) -> None:
    harness = make_pool(1, tuning=Tuning(turn=0.0))
    harness.start(*map(claimed, range(50)))
    until(lambda: len(harness.queue) == 50)
    assert harness.threads.turns >= 50


def test_a_turn_that_fails_is_logged_and_the_chain_goes_on(make_pool: MakePool, caplog: pytest.LogCaptureFixture) -> None:
    harness = make_pool(2, tuning=Tuning(backoff_first=0.001))
    harness.database.errors = [SystemExit(), RuntimeError("a defect")]
    harness.start(*map(claimed, range(20)))
    until(lambda: len(harness.queue) == 20)
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.message for record in records] == ["a worker's turn failed; the worker goes on"] * 2
    assert "a defect" in caplog.text
    assert harness.turns.broken == 2


# -- when the interpreter exits -------------------------------------------------------------------------------------------


def test_when_the_interpreter_exits_an_idle_chain_asks_for_the_end_and_ends(make_pool: MakePool) -> None:
    harness = make_pool(4)
    harness.start(*map(claimed, range(10)))
    until(lambda: len(harness.queue) == 10)
    harness.threads.is_exiting = True
    until(lambda: harness.engine.ends)
    assert harness.engine.is_asked_to_stop.is_set()
    assert harness.pool.is_stopping()


def test_when_the_interpreter_exits_a_running_job_is_finished_first(make_pool: MakePool, gate: threading.Event) -> None:
    harness = make_pool(2, lambda job: gate.wait(60))
    harness.start(claimed(1), claimed(2))
    until(lambda: len(harness.running) == 2)
    harness.threads.is_exiting = True
    assert harness.engine.ends == 0
    gate.set()
    until(lambda: harness.engine.ends)
    assert harness.engine.is_asked_to_stop.is_set()
    assert harness.pool.is_stopping()
    assert [verdict.status for verdict in harness.stop()] == [Status.COMPLETED] * 2


# -- counting, without threads --------------------------------------------------------------------------------------------


class HeldTurns(Threads):
    """Keeps the turns until the test runs them."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers=workers, own_threads=threading.local(), tuning=TUNING)
        self.held: list[Callable[[], None]] = []
        self.is_exiting = False

    def submit(self, turn: Callable[[], None]) -> None:
        if self.is_exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self.held.append(turn)

    def run_all(self) -> None:
        turns, self.held = self.held, []
        for turn in turns:
            turn()


class TurnsHarness:
    """Chains whose walk is what the test says."""

    def __init__(self, workers: int) -> None:
        self.threads = HeldTurns(workers)
        self.signals = RunSignals()
        self.engine = FakeEngine()
        self.goes_on = False
        self.parked = 0
        self.turns = Turns(threads=self.threads, signals=self.signals, engine=self.engine)
        self.turns.begin(lambda: self.goes_on, self._on_park)

    def _on_park(self) -> None:
        self.parked += 1


def test_no_more_chains_get_a_turn_than_there_are_workers() -> None:
    harness = TurnsHarness(workers=3)
    harness.turns.give(10)
    assert len(harness.threads.held) == 3
    assert harness.turns.at_work() == 3


def test_a_chain_that_is_parked_can_get_another_turn() -> None:
    harness = TurnsHarness(workers=1)
    harness.threads.run_all()
    assert (harness.parked, harness.turns.at_work(), harness.threads.held) == (1, 0, [])
    harness.turns.give(1)
    assert len(harness.threads.held) == 1


def test_only_one_chain_is_idle_at_a_time() -> None:
    harness = TurnsHarness(workers=2)
    harness.turns.give(1)
    assert [harness.turns.become_idle(), harness.turns.become_idle()] == [True, False]
    assert harness.turns.at_work() == 1
    harness.turns.leave_idle()
    assert harness.turns.become_idle()


def test_while_it_stops_no_chain_gets_a_turn_and_the_last_one_ends_it() -> None:
    harness = TurnsHarness(workers=2)
    harness.goes_on = True
    harness.turns.give(1)
    harness.signals.stop()
    harness.turns.give(1)
    harness.turns.end_if_last()
    assert harness.engine.ends == 0
    harness.threads.run_all()
    assert (harness.threads.held, harness.engine.ends) == ([], 1)
    harness.turns.end_if_last()
    assert harness.engine.ends == 1


def test_turns_that_died_with_their_thread_are_submitted_again() -> None:
    harness = TurnsHarness(workers=2)
    harness.turns.give(1)
    harness.threads.held = []
    harness.turns.resubmit(2)
    assert len(harness.threads.held) == 2
    assert harness.turns.at_work() == 2


def test_chains_beyond_a_smaller_size_end_after_their_turns() -> None:
    harness = TurnsHarness(workers=3)
    harness.goes_on = True
    harness.turns.give(2)
    harness.turns.resize(1)
    assert (harness.turns.workers, harness.turns.at_work()) == (1, 3)
    harness.turns.give(5)
    assert harness.turns.at_work() == 3, "none is added"
    harness.threads.run_all()
    assert (harness.parked, harness.turns.at_work(), len(harness.threads.held)) == (2, 1, 1)
    harness.threads.run_all()
    assert (harness.parked, len(harness.threads.held)) == (2, 1), "the last one goes on"


def test_a_greater_size_lets_more_chains_get_a_turn() -> None:
    harness = TurnsHarness(workers=1)
    harness.turns.resize(4)
    harness.turns.give(10)
    assert (harness.turns.workers, harness.turns.at_work()) == (4, 4)


def test_waiting_turns_beyond_a_smaller_size_are_not_submitted_again() -> None:
    harness = TurnsHarness(workers=5)
    harness.turns.give(4)
    harness.turns.resize(2)
    harness.threads.held = []
    harness.turns.resubmit(5)
    assert (len(harness.threads.held), harness.turns.at_work(), harness.parked) == (2, 2, 3)


def test_a_pool_that_is_made_smaller_and_stops_ends_once() -> None:
    harness = TurnsHarness(workers=3)
    harness.goes_on = True
    harness.turns.give(2)
    harness.turns.resize(1)
    harness.signals.stop()
    harness.threads.run_all()
    assert (harness.threads.held, harness.turns.at_work(), harness.engine.ends) == ([], 0, 1)


def test_turns_that_cannot_be_submitted_again_end_their_chains() -> None:
    harness = TurnsHarness(workers=2)
    harness.turns.give(1)
    harness.threads.is_exiting = True
    harness.turns.resubmit(2)
    assert harness.turns.at_work() == 0
    assert harness.engine.is_asked_to_stop.is_set()
    assert harness.engine.ends == 1


def test_turns_that_cannot_be_given_count_no_chain_as_at_work() -> None:
    harness = TurnsHarness(workers=3)
    harness.threads.is_exiting = True
    harness.turns.give(2)
    assert harness.turns.at_work() == 1, "the first chain has its turn since the beginning"
    assert harness.engine.is_asked_to_stop.is_set()
    harness.threads.run_all()
    assert (harness.turns.at_work(), harness.engine.ends) == (0, 1)


# -- slots ----------------------------------------------------------------------------------------------------------------


class HeldSlot(Slot):
    """Keeps its turns until the test runs them."""

    def __init__(self) -> None:
        super().__init__(enter=lambda: None, hooks=ThreadHooks(), look=0.01)
        self.held: list[Callable[[], None]] = []
        self.is_closed = False
        self.is_stuck = False
        self.has_died = False
        self.is_exiting = False

    def is_dead(self) -> bool:
        return self.has_died

    def submit(self, turn: Callable[[], None]) -> None:
        if self.is_exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self.held.append(turn)

    def run_all(self) -> None:
        turns, self.held = self.held, []
        for turn in turns:
            turn()

    def is_of(self, threads: set[int]) -> bool:
        return self.is_stuck

    def close(self) -> None:
        self.is_closed = True


class SlotsHarness(TurnsHarness):
    """One worker, whose handler is stuck."""

    def __init__(self) -> None:
        super().__init__(workers=1)
        self.made: list[HeldSlot] = []
        self.threads.open_slot = self._open  # type: ignore[method-assign]
        self.turns.stuck = 1

    def _open(self) -> HeldSlot:
        self.made.append(HeldSlot())
        return self.made[-1]


def test_a_slot_is_a_further_chain_and_gets_a_turn_at_once() -> None:
    harness = SlotsHarness()
    assert harness.turns.open_slot()
    (slot,) = harness.made
    assert len(slot.held) == 1
    assert harness.turns.workers == 2
    assert harness.turns.at_work() == 1, "the stuck one does not count"
    slot.run_all()
    assert harness.turns.at_work() == 0
    harness.turns.give(5)
    assert (len(slot.held), len(harness.threads.held)) == (1, 1), "the other chain has its turn still"


def test_a_slot_that_is_closed_during_its_turn_takes_no_other() -> None:
    harness = SlotsHarness()
    harness.turns.open_slot()
    (slot,) = harness.made
    harness.goes_on = True
    slot.run_all()
    assert len(slot.held) == 1
    assert harness.turns.close_slot(set())
    assert not slot.is_closed
    slot.run_all()
    assert slot.is_closed
    assert slot.held == []
    assert harness.turns.workers == 1
    harness.turns.give(5)
    assert slot.held == []


def test_a_slot_that_is_parked_is_closed_at_once() -> None:
    harness = SlotsHarness()
    harness.turns.open_slot()
    (slot,) = harness.made
    slot.run_all()
    assert harness.turns.close_slot(set())
    assert slot.is_closed


def test_the_slot_of_a_stuck_handler_is_not_the_one_that_is_closed() -> None:
    harness = SlotsHarness()
    harness.turns.open_slot()
    harness.turns.open_slot()
    first, second = harness.made
    first.is_stuck = True
    assert harness.turns.close_slot({1})
    second.run_all()
    assert (first.is_closed, second.is_closed) == (False, True)
    assert not harness.turns.close_slot({1}), "there is no other"


def test_while_it_stops_no_slot_is_opened_and_a_slots_turn_is_waited_for() -> None:
    harness = SlotsHarness()
    harness.turns.open_slot()
    (slot,) = harness.made
    harness.signals.stop()
    assert not harness.turns.open_slot()
    harness.threads.run_all()
    assert harness.engine.ends == 0
    slot.run_all()
    assert harness.engine.ends == 1


def test_if_the_system_starts_no_thread_there_is_no_slot() -> None:
    harness = SlotsHarness()

    def refuse() -> HeldSlot:
        raise RuntimeError("can't start new thread")

    harness.threads.open_slot = refuse  # type: ignore[method-assign]
    assert not harness.turns.open_slot()
    assert harness.turns.workers == 1


@pytest.mark.parametrize("has_turn", [True, False], ids=["during its turn", "parked"])
def test_a_slot_whose_thread_has_died_is_replaced_and_the_new_one_gets_a_turn(has_turn: bool) -> None:
    harness = SlotsHarness()
    harness.turns.open_slot()
    (dead,) = harness.made
    if not has_turn:
        dead.run_all()
    at_work = harness.turns.at_work()
    dead.has_died = True
    harness.turns.replace_dead_slots()
    _, new = harness.made
    assert dead.is_closed
    assert len(new.held) == 1
    assert harness.turns.workers == 2
    assert harness.turns.at_work() == at_work + (not has_turn), "the turn of the dead one does not count any more"
    harness.signals.stop()
    harness.threads.run_all()
    new.run_all()
    assert harness.engine.ends == 1, "nobody waits for the dead one"


def test_a_turn_that_a_slot_cannot_take_does_not_count() -> None:
    harness = SlotsHarness()
    harness.turns.open_slot()
    (slot,) = harness.made
    slot.run_all()
    slot.is_exiting = True
    harness.turns.give(5)
    assert harness.turns.at_work() == 0
    assert harness.engine.is_asked_to_stop.is_set()
    harness.threads.run_all()
    assert harness.engine.ends == 1
