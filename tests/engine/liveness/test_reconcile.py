"""Looks at what a process holds by the tables; what it does not know of three times it frees."""

import pytest

from steve._engine.liveness.reconcile import ClaimReply, Held, Reconcile


class Desk:
    """A process, as `Reconcile` sees it."""

    def __init__(self, interval: float = 60.0) -> None:
        self.held: ClaimReply = set()
        self.put = self.settled = 0
        self.table: ClaimReply = set()
        self.looks = 0
        self.locked = False
        self.freed: list[ClaimReply] = []
        self.reconcile = Reconcile(self._look, self._free, interval)

    def work(self) -> bool:
        return self.reconcile.work(self.settled)

    def _look(self) -> tuple[Held, ClaimReply]:
        self.looks += 1
        return Held(set(self.held), self.put, self.settled), set(self.table)

    def _free(self, claims: ClaimReply) -> None:
        self.freed.append(claims)
        if not self.locked:
            self.table -= claims


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("steve._engine.liveness.reconcile.AGAIN_SECONDS", 0.0)
    return Desk()


def test_nothing_is_asked_without_a_cause(desk: Desk) -> None:
    desk.table = {(1, 1)}
    assert not desk.work()
    assert desk.looks == 0


def test_what_is_unknown_three_times_is_freed_once(desk: Desk) -> None:
    desk.table = {(1, 1), (2, 1)}
    desk.held = {(2, 1)}
    desk.reconcile.begin()
    assert desk.work()
    assert desk.work()
    assert desk.freed == []
    assert desk.work()
    assert desk.freed == [{(1, 1)}]
    assert desk.work()  # and once more, whether it is gone
    assert not desk.work()
    assert desk.freed == [{(1, 1)}]


def test_what_cannot_be_freed_just_now_is_freed_later(desk: Desk) -> None:
    desk.table = {(1, 1)}
    desk.locked = True  # its row is
    desk.reconcile.begin()
    for _ in range(5):
        assert desk.work()
    assert desk.freed == [{(1, 1)}] * 3
    desk.locked = False
    assert desk.work()
    assert desk.work()
    assert not desk.work()


def test_once_an_interval_it_looks_without_a_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.liveness.reconcile.AGAIN_SECONDS", 0.0)
    desk = Desk(interval=0.0)
    assert desk.work()
    assert desk.work()
    assert desk.looks == 2


def test_a_look_that_fails_is_made_again(desk: Desk) -> None:
    desk.reconcile.begin()
    look = desk.reconcile._look

    def fail() -> tuple[Held, ClaimReply]:
        desk.reconcile._look = look
        raise ConnectionError

    desk.reconcile._look = fail
    with pytest.raises(ConnectionError):
        desk.work()
    assert desk.work()
    assert not desk.work()


def test_a_job_that_was_being_drawn_at_the_first_look_runs_at_the_second(desk: Desk) -> None:
    desk.table = {(1, 1)}
    desk.reconcile.begin()
    desk.work()
    desk.held = {(1, 1)}
    assert desk.work()
    assert not desk.work()
    assert desk.freed == []


def test_a_job_that_was_claimed_between_the_looks_is_none_of_it(desk: Desk) -> None:
    desk.table = {(1, 1)}
    desk.reconcile.begin()
    desk.work()
    desk.table = {(1, 2), (3, 1)}
    assert desk.work()
    desk.table = {(1, 3), (4, 1)}
    assert desk.work()
    assert not desk.work(), "under load others are found at every look"
    assert desk.freed == []


def test_what_comes_up_during_the_looks_is_found_in_the_same_round(desk: Desk) -> None:
    desk.table = {(1, 1)}
    desk.reconcile.begin()
    desk.work()
    desk.table = {(1, 1), (2, 1)}
    desk.work()
    desk.work()
    assert desk.freed == [{(1, 1)}]
    desk.work()
    assert desk.freed == [{(1, 1)}, {(2, 1)}]


def test_it_waits_until_what_lay_on_the_pile_is_settled(desk: Desk) -> None:
    """The database is away for a while: an outcome that waits is not one that was forgotten."""
    desk.table = {(1, 1)}
    desk.put, desk.settled = 5, 4
    desk.reconcile.begin()
    desk.work()
    assert not desk.work()
    desk.table = set()
    desk.put, desk.settled = 9, 5
    assert desk.work()
    assert desk.freed == []


def test_an_outcome_that_came_to_lie_on_the_pile_after_the_first_look_is_waited_for_too(desk: Desk) -> None:
    """Of a job that was claimed while the first look was asked, and done before the second."""
    desk.table = {(1, 1)}
    desk.reconcile.begin()
    desk.work()
    desk.put, desk.settled = 1, 0
    assert desk.work()
    assert not desk.work()
    desk.table, desk.settled = set(), 1
    assert desk.work()
    assert not desk.work()
    assert desk.freed == []


def test_causes_that_come_again_and_again_put_nothing_off(desk: Desk) -> None:
    desk.table = {(1, 1)}
    for _ in range(3):
        desk.reconcile.begin()
        assert desk.work()
    assert desk.freed == [{(1, 1)}]


def test_between_the_looks_lies_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.liveness.reconcile.AGAIN_SECONDS", 60.0)
    desk = Desk()
    desk.table = {(1, 1)}
    desk.reconcile.begin()
    assert desk.work()
    assert not desk.work()
