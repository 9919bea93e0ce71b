"""The thread that reads notifications, given a socket in place of the database's."""

import socket
import threading
from collections.abc import Collection, Iterator
from uuid import UUID

import pytest

from steve._database.failures import Transient
from steve._engine.claim.notifier import Notifier, sorted_payloads
from steve._engine.settle.awaited import Awaited
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.scheduler import ScheduleBell
from steve._model.tuning import Tuning
from tests.conftest import until
from tests.engine.claim.harness import TUNING


class FakeListener:
    """`ListenPort` and `ClaimerPort`: each byte on a socket is a notification. `did` tells what happened, in order."""

    def __init__(self, tuning: Tuning = TUNING) -> None:
        self.did: list[str] = []
        self.awaited = Awaited(clock=lambda: 100.0)
        self.schedules = ScheduleBell()
        self.has_pooler = False
        self.errors: list[Exception] = []
        """What the next reads raise, the last one first."""
        self.pause = 0.0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._socket, self.database = socket.socketpair()
        self.notifier = Notifier(
            database=self,
            claimer=self,
            stand_back=self.stand_back,
            engine=self,
            outage=Outage(),
            tuning=tuning,
        )

    def cancel_asked(self, uids: Collection[UUID]) -> None:
        self.did.append(f"cancel {[uid.int for uid in uids]}")

    def listen(self) -> int | None:
        return None if self.has_pooler else self._socket.fileno()

    def hear(self) -> list[str]:
        self.did.append("hear")
        data = self._socket.recv(100)
        if self.errors:
            raise self.errors.pop()
        words = {"b": "back", "c": f"cancel {UUID(int=7)} {UUID(int=8)}", "w": "wait 15"}
        return [words.get(chr(byte), "") for byte in data]

    def close(self) -> None:
        self.did.append("close")
        self._socket.close()

    def wake(self, *, full_scan: bool = False) -> None:
        self.did.append("wake for a full scan" if full_scan else "wake")

    def stand_back(self) -> float:
        self.did.append("stand back")
        assert self.may_go_on.wait(30)
        return self.pause


@pytest.fixture
def listener() -> Iterator[FakeListener]:
    listener = FakeListener(Tuning(backoff_first=0.001))
    thread = threading.Thread(target=listener.notifier.run)
    thread.start()
    yield listener
    listener.may_go_on.set()
    listener.notifier.end()
    listener.database.close()
    thread.join()
    assert listener.did[-1] == "close"


def test_it_wakes_the_claimer_when_it_begins_to_listen_and_for_what_it_hears(listener: FakeListener) -> None:
    until(lambda: listener.did == ["wake for a full scan"])
    listener.database.send(b".")
    until(lambda: listener.did[1:] == ["stand back", "hear", "wake"])
    listener.database.send(b"b")
    until(lambda: listener.did[4:] == ["stand back", "hear", "wake for a full scan"])


def test_notifications_that_come_while_it_stands_back_are_heard_as_one(listener: FakeListener) -> None:
    until(lambda: listener.notifier.is_listening)
    listener.may_go_on.clear()
    listener.database.send(b".")
    until(lambda: listener.did[1:] == ["stand back"])
    listener.database.send(b".b")
    listener.may_go_on.set()
    until(lambda: listener.did[1:] == ["stand back", "hear", "wake for a full scan"])


def test_a_cancel_is_handed_on_and_wakes_nobody(listener: FakeListener) -> None:
    until(lambda: listener.did == ["wake for a full scan"])
    listener.database.send(b"c")
    until(lambda: listener.did[1:] == ["stand back", "hear", "cancel [7, 8]"])
    listener.database.send(b"c.")
    until(lambda: listener.did[4:] == ["stand back", "hear", "cancel [7, 8]", "wake"])


def test_that_somebody_waits_for_jobs_is_handed_on_and_wakes_nobody(listener: FakeListener) -> None:
    until(lambda: listener.did == ["wake for a full scan"])
    assert not listener.awaited.now()
    listener.database.send(b"w")
    until(listener.awaited.now)
    assert listener.did[1:] == ["stand back", "hear"]


@pytest.mark.parametrize(
    ("payloads", "cancels", "wakes", "awaited"),
    [
        ([], [], [], None),
        (["", "back"], [], ["", "back"], None),
        ([f"cancel {UUID(int=7)}", ""], [7], [""], None),
        ([f"cancel {UUID(int=7)} {UUID(int=8)}", f"cancel {UUID(int=9)}"], [7, 8, 9], [], None),
        (["cancel", "cancel ", "cancel x", f"cancel x {UUID(int=7)}"], [7], [], None),
        (["cancelled", "x cancel"], [], ["cancelled", "x cancel"], None),
        (["wait 15", "", "wait 7"], [], [""], 15.0),
        (["wait", "wait ", "wait x", "wait -1", "wait 1.5"], [], [], None),
        (["waits 15"], [], ["waits 15"], None),
        ([f"wait {'9' * 400}"], [], [], float("inf")),
    ],
)
def test_payloads_are_sorted_and_what_is_no_uid_or_number_is_left_out(
    payloads: list[str], cancels: list[int], wakes: list[str], awaited: float | None
) -> None:
    assert sorted_payloads(payloads)[:3] == ([UUID(int=number) for number in cancels], wakes, awaited)


def test_it_stands_back_before_it_reads_for_as_long_as_the_claimer_says(listener: FakeListener) -> None:
    until(lambda: listener.notifier.is_listening)
    listener.pause = 0.003
    listener.database.send(b".")
    until(lambda: listener.did[1:] == ["stand back", "hear", "wake"])


def test_after_a_failure_it_listens_again_and_leads_to_a_full_scan(listener: FakeListener) -> None:
    """The notifications of the time in between are lost."""
    until(lambda: listener.notifier.is_listening)
    listener.errors = [Transient("the connection is lost")]
    listener.database.send(b".")
    until(lambda: listener.did[1:] == ["stand back", "hear", "wake for a full scan"])
    until(lambda: listener.notifier.is_listening)


def test_behind_a_pooler_it_says_so_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    listener = FakeListener()
    listener.has_pooler = True
    listener.notifier.run()
    listener.database.close()
    assert "no notification comes through the connection pooler" in caplog.text
    assert not listener.notifier.is_listening
    assert listener.did == ["close"]


def test_a_change_of_schedules_rings_their_bell_and_wakes_nobody() -> None:
    assert sorted_payloads(["schedules", "schedules"]) == ([], [], None, True)
    assert sorted_payloads(["", "back"]) == ([], ["", "back"], None, False)
