"""Reconcile looks at what a process holds by the tables, and frees what the process does not know of in three looks."""

from collections.abc import Callable
from uuid import UUID

import pytest

from steve._engine.liveness.reconcile import Held, Reconcile
from steve._model.claimed import ClaimKey
from steve._model.tuning import Tuning

ONE, TWO, THREE, FOUR = ((UUID(int=number), 1) for number in (1, 2, 3, 4))
"""Claims of four jobs."""
ONE_AGAIN, ONE_A_THIRD_TIME = (ONE[0], 2), (ONE[0], 3)
"""Later claims of the first."""


class Holder:
    """A process, as `Reconcile` sees it, and the tables."""

    def __init__(self, *, interval: float = 60.0, pause: float = 0.0) -> None:
        self.held: set[ClaimKey] = set()
        self.put = self.settled = 0
        self.table: set[ClaimKey] = set()
        self.before_look: Callable[[], None] = lambda: None
        self.looks = 0
        self.locked = False
        self.freed: list[set[ClaimKey]] = []
        self.reconcile = Reconcile(look=self._look, free=self._free, interval=interval, tuning=Tuning(reconcile_pause=pause))

    def work(self) -> bool:
        return self.reconcile.work(self.settled)

    def _look(self) -> tuple[Held, set[ClaimKey]]:
        self.before_look()
        self.looks += 1
        return Held(set(self.held), self.put, self.settled), set(self.table)

    def _free(self, claims: set[ClaimKey]) -> None:
        self.freed.append(claims)
        if not self.locked:
            self.table -= claims


@pytest.fixture
def holder() -> Holder:
    return Holder()


def test_nothing_is_asked_without_a_cause(holder: Holder) -> None:
    holder.table = {ONE}
    assert not holder.work()
    assert holder.looks == 0


def test_a_job_that_is_unknown_in_three_looks_is_freed_once(holder: Holder) -> None:
    holder.table = {ONE, TWO}
    holder.held = {TWO}
    holder.reconcile.begin()
    assert holder.work()
    assert holder.work()
    assert holder.freed == []
    assert holder.work()
    assert holder.freed == [{ONE}]
    assert holder.work()  # and once more, whether it is gone
    assert not holder.work()
    assert holder.freed == [{ONE}]


def test_a_job_whose_row_is_locked_is_freed_later(holder: Holder) -> None:
    holder.table = {ONE}
    holder.locked = True
    holder.reconcile.begin()
    for _ in range(5):
        assert holder.work()
    assert holder.freed == [{ONE}] * 3
    holder.locked = False
    assert holder.work()
    assert holder.work()
    assert not holder.work()


def test_once_an_interval_it_looks_without_a_cause() -> None:
    holder = Holder(interval=0.0)
    assert holder.work()
    assert holder.work()
    assert holder.looks == 2


def test_a_look_that_fails_is_made_again(holder: Holder) -> None:
    def fail_once() -> None:
        holder.before_look = lambda: None
        raise ConnectionError

    holder.before_look = fail_once
    holder.reconcile.begin()
    with pytest.raises(ConnectionError):
        holder.work()
    assert holder.work()
    assert not holder.work()


def test_a_job_that_was_being_taken_at_the_first_look_runs_at_the_second(holder: Holder) -> None:
    holder.table = {ONE}
    holder.reconcile.begin()
    holder.work()
    holder.held = {ONE}
    assert holder.work()
    assert not holder.work()
    assert holder.freed == []


def test_jobs_that_were_claimed_between_the_looks_are_not_freed(holder: Holder) -> None:
    holder.table = {ONE}
    holder.reconcile.begin()
    holder.work()
    holder.table = {ONE_AGAIN, THREE}
    assert holder.work()
    holder.table = {ONE_A_THIRD_TIME, FOUR}
    assert holder.work()
    assert not holder.work(), "under load others are found at every look"
    assert holder.freed == []


def test_a_job_that_turns_up_during_the_looks_is_freed_in_the_same_round(holder: Holder) -> None:
    holder.table = {ONE}
    holder.reconcile.begin()
    holder.work()
    holder.table = {ONE, TWO}
    holder.work()
    holder.work()
    assert holder.freed == [{ONE}]
    holder.work()
    assert holder.freed == [{ONE}, {TWO}]


def test_it_waits_until_the_outcomes_in_the_settlers_queue_are_settled(holder: Holder) -> None:
    """The database is away for a while: an outcome that waits is not one that was forgotten."""
    holder.table = {ONE}
    holder.put, holder.settled = 5, 4
    holder.reconcile.begin()
    holder.work()
    assert not holder.work()
    holder.table = set()
    holder.put, holder.settled = 9, 5
    assert holder.work()
    assert holder.freed == []


def test_an_outcome_put_after_the_first_look_is_waited_for_too(holder: Holder) -> None:
    """Its job was claimed while the first look was asked, and done before the second."""
    holder.table = {ONE}
    holder.reconcile.begin()
    holder.work()
    holder.put, holder.settled = 1, 0
    assert holder.work()
    assert not holder.work()
    holder.table, holder.settled = set(), 1
    assert holder.work()
    assert not holder.work()
    assert holder.freed == []


def test_causes_that_come_again_and_again_delay_nothing(holder: Holder) -> None:
    holder.table = {ONE}
    for _ in range(3):
        holder.reconcile.begin()
        assert holder.work()
    assert holder.freed == [{ONE}]


def test_there_is_a_pause_between_the_looks() -> None:
    holder = Holder(pause=60.0)
    holder.table = {ONE}
    holder.reconcile.begin()
    assert holder.work()
    assert not holder.work()
