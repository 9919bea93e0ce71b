"""The thread that hears, given a socket in place of the database."""

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from steve._engine.claim.notifier import Notifier
from steve._engine.upkeep.outage import Outage
from tests.conftest import until


class Ear:
    """A notifier whose connection is a socket, each byte on it a notification; and what it did, in order."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.seconds = 0.0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._ours, self.database = socket.socketpair()
        self.notifier = Notifier(
            self._ours.fileno, self._hear, self._ours.close, self._wake, self._stand_back_seconds, Outage()
        )

    def _stand_back_seconds(self) -> float:
        self.did.append("stand back")
        assert self.may_go_on.wait(10)
        return self.seconds

    def _hear(self) -> list[str]:
        self.did.append("hear")
        return ["back" if byte == ord("b") else "" for byte in self._ours.recv(100)]

    def _wake(self, everywhere: bool) -> None:
        self.did.append("wake everywhere" if everywhere else "wake")


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    thread = threading.Thread(target=ear.notifier.run)
    thread.start()
    yield ear
    ear.notifier.end()
    ear.database.close()
    thread.join()


def test_it_wakes_when_it_begins_to_listen_and_for_whatever_it_hears(ear: Ear) -> None:
    until(lambda: ear.did == ["wake everywhere"])
    ear.database.send(b".")
    until(lambda: ear.did[1:] == ["stand back", "hear", "wake"])
    ear.database.send(b"b")
    until(lambda: ear.did[4:] == ["stand back", "hear", "wake everywhere"])


def test_what_comes_while_it_stands_back_is_heard_as_one(ear: Ear) -> None:
    until(lambda: ear.notifier.listening)
    ear.may_go_on.clear()
    ear.database.send(b".")
    until(lambda: ear.did[1:] == ["stand back"])
    ear.database.send(b".b")
    ear.may_go_on.set()
    until(lambda: ear.did[1:] == ["stand back", "hear", "wake everywhere"])


def test_it_stands_back_for_as_long_as_it_is_told_and_before_it_hears(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    until(lambda: ear.notifier.listening)
    clock = SimpleNamespace(sleep=lambda seconds: ear.did.append(f"sleep {seconds}"))
    monkeypatch.setattr("steve._engine.claim.notifier.time", clock)
    ear.seconds = 0.003
    ear.database.send(b".")
    until(lambda: ear.did[1:] == ["stand back", "sleep 0.003", "hear", "wake"])
