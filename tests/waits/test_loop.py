"""What the waits' thread does in which order, with a database that only notes it."""

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from uuid import UUID

import pytest

from steve import Job
from steve._database.statements.audit import Entry
from steve._database.statements.waits import Ended
from steve._model.tuning import Tuning
from steve._waits.book import Wait
from steve._waits.futures import JobFuture
from steve._waits.loop import WaitLoop
from tests.conftest import until

SLOW = 2.0
"""Seconds that it takes to connect."""


class Database:
    """Implements `WaitPort`. No job ever ends."""

    listens = False

    def __init__(self) -> None:
        self.looks: list[float] = []
        self.has_looked = threading.Semaphore(0)

    def is_connected(self) -> bool:
        return True

    def listen(self) -> int | None:
        time.sleep(SLOW)
        return None

    def announce(self, *, notify: bool) -> None: ...

    def hear(self) -> list[str]:
        return []

    def find_ended(self, uids: Collection[UUID]) -> Ended:
        self.looks.append(time.monotonic())
        self.has_looked.release()
        return Ended([], set())

    def explain(self) -> None: ...

    def cut(self) -> None: ...

    def close(self) -> None: ...

    def leave_to_parent(self) -> None: ...

    def cancel(self, uids: Sequence[UUID], entry: Entry | None, *, told: bool) -> tuple[list[Job], list[UUID]]:
        return [], []


class Manager:
    stops, stop_asked_at = 0, float("inf")

    def has_ended(self) -> bool:
        return False

    def wants_cancelled(self) -> bool:
        return False

    def on_cancelled(self, jobs: Sequence[Job]) -> None: ...


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def loop(database: Database) -> Iterator[WaitLoop]:
    loop = WaitLoop(database=database, manager=Manager(), retire=lambda loop: True, tuning=Tuning(shutdown_grace=30.0))
    loop.thread.start()
    yield loop
    loop.ask_to_stop()
    assert loop.wait_for_end()


def test_a_slow_connection_does_not_count_as_a_slow_look(loop: WaitLoop, database: Database) -> None:
    loop.put(Wait(UUID(int=1), JobFuture(), 0, None))
    for _ in range(4):
        assert database.has_looked.acquire(timeout=30)
    # Otherwise the second look would come three times as long after the first one: looks take a quarter of the time.
    assert database.looks[-1] - database.looks[0] < 2.5 * SLOW


def test_waits_that_begin_together_are_all_looked_at_soon(loop: WaitLoop, database: Database) -> None:
    uids = [UUID(int=n) for n in range(1, 500)]
    futures = [JobFuture() for _ in uids]
    for uid, future in zip(uids, futures, strict=True):
        assert loop.put(Wait(uid, future, 0, None))
    assert database.has_looked.acquire(timeout=30)
    assert database.has_looked.acquire(timeout=30)
    until(lambda: len(loop.book) == len(uids))
