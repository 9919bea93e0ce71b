"""Two looks at what a process holds by the tables; what it does not know of both times it takes up."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from steve._reconcile import Held, Reconcile
from steve.job import Claimed

NOW = datetime.now(UTC)


def job(id: int, lease_no: int = 1) -> Claimed:
    blank = Claimed(*[None] * len(Claimed._fields))  # type: ignore[arg-type]
    return blank._replace(id=id, lease_no=lease_no, uid=uuid4(), claimed_at=NOW)


class Desk:
    """A process, as `Reconcile` sees it."""

    def __init__(self) -> None:
        self.held: set[tuple[int, int]] = set()
        self.put = self.settled = 0
        self.table: list[Claimed] = []
        self.taken: list[Claimed] = []
        self.reconcile = Reconcile(
            lambda: list(self.table), lambda: Held(set(self.held), self.put, self.settled), self.taken.extend
        )


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("steve._reconcile.AGAIN_SECONDS", 0.0)
    return Desk()


def test_nothing_is_asked_before_the_server_changes(desk: Desk) -> None:
    desk.table = [job(1)]
    assert not desk.reconcile.work()
    assert desk.taken == []


def test_what_is_unknown_twice_is_taken_up_once(desk: Desk) -> None:
    desk.table = [job(1), job(2)]
    desk.held = {(2, 1)}
    desk.reconcile.begin()
    assert desk.reconcile.work()
    assert desk.taken == []
    assert desk.reconcile.work()
    assert desk.taken == [desk.table[0]]
    assert not desk.reconcile.work()


def test_a_job_that_was_being_drawn_at_the_first_look_runs_at_the_second(desk: Desk) -> None:
    desk.table = [job(1)]
    desk.reconcile.begin()
    desk.reconcile.work()
    desk.held = {(1, 1)}
    desk.reconcile.work()
    assert desk.taken == []


def test_a_job_that_was_claimed_between_the_looks_is_none_of_it(desk: Desk) -> None:
    desk.table = [job(1)]
    desk.reconcile.begin()
    desk.reconcile.work()
    desk.table = [job(1, lease_no=2), job(3)]
    desk.reconcile.work()
    assert desk.taken == []


def test_it_waits_until_what_lay_on_the_pile_is_settled(desk: Desk) -> None:
    """The database is away for a while: an outcome that waits is not one that was forgotten."""
    desk.table = [job(1)]
    desk.put, desk.settled = 5, 4
    desk.reconcile.begin()
    desk.reconcile.work()
    assert not desk.reconcile.work()
    desk.table = []
    desk.put, desk.settled = 9, 5
    assert desk.reconcile.work()
    assert desk.taken == []


def test_another_change_begins_it_anew(desk: Desk) -> None:
    desk.table = [job(1)]
    desk.reconcile.begin()
    desk.reconcile.work()
    desk.reconcile.begin()
    assert desk.reconcile.work()
    assert desk.taken == []  # the first look again
    assert desk.reconcile.work()
    assert desk.taken == desk.table


def test_between_the_looks_lies_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._reconcile.AGAIN_SECONDS", 60.0)
    desk = Desk()
    desk.table = [job(1)]
    desk.reconcile.begin()
    assert desk.reconcile.work()
    assert not desk.reconcile.work()
