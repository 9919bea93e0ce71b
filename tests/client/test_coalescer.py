"""Which of the INSERTs that are sent at once carries the notification, and which one pays for the others."""

import logging

import pytest

from steve._client.coalescer import NotifyCoalescer
from steve._model.tuning import Tuning
from steve.errors import Unavailable


class Counted(NotifyCoalescer):
    """Counts the notifications that are sent by themselves."""

    def __init__(self, tuning: Tuning = Tuning()) -> None:  # noqa: B008 - frozen
        super().__init__(notify=self._count, tuning=tuning)
        self.sent = 0

    def _count(self) -> None:
        self.sent += 1


@pytest.fixture
def coalescer() -> Counted:
    return Counted()


def test_an_insert_without_others_carries_the_notification(coalescer: Counted) -> None:
    for _ in range(3):
        assert coalescer.begin()
        coalescer.end(True)
    assert coalescer.sent == 0


def test_inserts_without_a_notification_are_paid_for_when_the_last_one_ends(coalescer: Counted) -> None:
    assert [coalescer.begin() for _ in range(3)] == [True, False, False]
    coalescer.end(False)
    coalescer.end(True)
    assert coalescer.sent == 0, "the last one may be stored only after a notification that is sent now"
    coalescer.end(False)
    assert coalescer.sent == 1


def test_a_carrier_that_is_under_way_does_not_pay_but_the_next_one_does(coalescer: Counted) -> None:
    assert [coalescer.begin(), coalescer.begin()] == [True, False]
    coalescer.end(False)
    coalescer.end(True)
    assert coalescer.sent == 1
    assert [coalescer.begin(), coalescer.begin(), coalescer.begin()] == [True, False, False]
    coalescer.end(False)
    coalescer.end(True)
    assert coalescer.begin(), "sent after the one that has ended"
    coalescer.end(True)
    assert coalescer.sent == 1
    coalescer.end(False)
    assert coalescer.sent == 2


def test_a_copy_is_notified_of_at_once_unless_inserts_are_under_way(coalescer: Counted) -> None:
    coalescer.owe()
    assert coalescer.sent == 1
    coalescer.begin()
    coalescer.owe()
    assert coalescer.sent == 1
    coalescer.end(True)
    assert coalescer.sent == 2


def test_an_insert_that_stored_nothing_owes_nothing(coalescer: Counted) -> None:
    assert [coalescer.begin(), coalescer.begin()] == [True, False]
    coalescer.end(False, stored=False)
    coalescer.end(True, stored=False)
    assert coalescer.sent == 0


def test_a_carrier_that_stored_nothing_gives_back_what_it_was_to_pay_for(coalescer: Counted) -> None:
    assert [coalescer.begin(), coalescer.begin(), coalescer.begin()] == [True, False, False]
    coalescer.end(True)
    coalescer.end(False)
    assert coalescer.begin(), "it takes over what is owed for the second"
    coalescer.end(True, stored=False)
    assert coalescer.sent == 0
    coalescer.end(False, stored=False)
    assert coalescer.sent == 1


def test_a_notification_that_cannot_be_sent_is_left_to_the_poll(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "steve")

    def fail() -> None:
        raise Unavailable("no")

    NotifyCoalescer(notify=fail, tuning=Tuning()).owe()
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_a_carrier_whose_thread_was_broken_off_is_forgotten_after_a_while() -> None:
    coalescer = Counted(Tuning(carry_most=0.0))
    assert [coalescer.begin(), coalescer.begin()] == [True, True]
