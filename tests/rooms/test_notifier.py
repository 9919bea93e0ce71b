"""The thread that hears, given a socket in place of the database."""

import socket
import threading
from collections.abc import Iterator

import pytest

from steve._notifier import Notifier
from steve._outage import Outage
from tests.conftest import until


class Ear:
    """A notifier whose connection is a socket: each byte sent to it is a notification; and what it did, in order."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.seconds = 0.0
        self._ours, self.database = socket.socketpair()
        self.notifier = Notifier(self._ours.fileno, self._hear, self._ours.close, self._wake, self._stands_back, Outage())

    def _stands_back(self) -> float:
        self.did.append("stand back")
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
    thread.join()
    ear.database.close()


def test_it_wakes_when_it_begins_to_listen_and_for_whatever_it_hears(ear: Ear) -> None:
    until(lambda: ear.did == ["wake everywhere"])
    ear.database.send(b".")
    until(lambda: ear.did[1:] == ["stand back", "hear", "wake"])
    ear.database.send(b"b")
    until(lambda: ear.did[4:] == ["stand back", "hear", "wake everywhere"])


def test_who_stands_back_hears_what_has_come_meanwhile_as_one(ear: Ear) -> None:
    until(lambda: ear.notifier.listening)
    ear.seconds = 0.3
    ear.database.send(b".")
    until(lambda: ear.did[1:] == ["stand back"])
    ear.database.send(b"..")
    until(lambda: ear.did[1:] == ["stand back", "hear", "wake"])
