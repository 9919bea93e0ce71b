"""Which of the jobs that are created at once announce themselves, and who pays for the others."""

import logging

import pytest

from steve._client.coalescer import NotifyCoalescer
from steve.errors import Unavailable


class Counted(NotifyCoalescer):
    """Counts the notifications that it sends by themselves."""

    def __init__(self) -> None:
        super().__init__(self._note)
        self.sent = 0

    def _note(self) -> None:
        self.sent += 1


def test_who_creates_alone_carries_the_notification_and_nothing_more_is_sent() -> None:
    announcer = Counted()
    for _ in range(3):
        assert announcer.begin()
        announcer.end(True)
    assert announcer.sent == 0


def test_who_goes_without_is_announced_when_the_last_one_ends() -> None:
    announcer = Counted()
    assert [announcer.begin() for _ in range(3)] == [True, False, False]
    announcer.end(False)
    announcer.end(True)
    assert announcer.sent == 0  # the last one may be stored only after what was sent now
    announcer.end(False)
    assert announcer.sent == 1


def test_a_carrier_that_is_under_way_does_not_pay_but_the_next_one_does() -> None:
    announcer = Counted()
    assert [announcer.begin(), announcer.begin()] == [True, False]
    announcer.end(False)
    announcer.end(True)
    assert announcer.sent == 1
    assert [announcer.begin(), announcer.begin(), announcer.begin()] == [True, False, False]
    announcer.end(False)
    announcer.end(True)
    assert announcer.begin()  # sent after the one that has ended
    announcer.end(True)
    assert announcer.sent == 1
    announcer.end(False)
    assert announcer.sent == 2


def test_a_copy_is_announced_at_once_unless_others_are_under_way() -> None:
    announcer = Counted()
    announcer.owe()
    assert announcer.sent == 1
    announcer.begin()
    announcer.owe()
    assert announcer.sent == 1
    announcer.end(True)
    assert announcer.sent == 2


def test_a_notification_that_cannot_be_sent_is_left_to_the_poll(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "steve")

    def fail() -> None:
        raise Unavailable("no")

    NotifyCoalescer(fail).owe()
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_a_carrier_that_something_broke_off_keeps_no_other_from_carrying_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._client.coalescer.CARRY_SECONDS", 0.0)
    announcer = Counted()
    assert [announcer.begin(), announcer.begin()] == [True, True]
