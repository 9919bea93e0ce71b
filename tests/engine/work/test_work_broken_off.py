"""A worker that an exception breaks off where nothing guards it: it holds neither a job nor the place of the idle chain."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from steve._engine.registry import Registry
from steve._engine.settle.queue import SettleQueue
from steve._engine.upkeep.threads import Threads
from steve._engine.work.running import RunningJobs
from steve._engine.work.signals import RunSignals
from steve._engine.work.turns import Turns
from steve._engine.work.worker import Worker
from steve._model.claimed import Claimed
from steve._model.tuning import Tuning

TUNING = Tuning()


class HeldTurns(Threads):
    """Keeps the turns until the test runs them."""

    def __init__(self) -> None:
        super().__init__(workers=2, own_threads=threading.local(), tuning=TUNING)
        self.held: list[Callable[[], None]] = []

    def submit(self, turn: Callable[[], None]) -> None:
        self.held.append(turn)


def test_a_chain_that_is_broken_off_while_it_is_idle_is_not_the_idle_one_any_more() -> None:
    """Otherwise no chain would ever wait for work again."""
    threads = HeldTurns()
    engine: Any = SimpleNamespace(ask_to_stop=lambda: None, on_last_worker=lambda: None)
    turns = Turns(threads=threads, signals=RunSignals(), engine=engine)

    def walk() -> bool:
        assert turns.become_idle()
        raise SystemExit

    turns.begin(walk, lambda: None)
    threads.held.pop()()
    assert turns.broken == 1
    assert not turns.has_idle()
    assert turns.at_work() == 1


def test_a_chain_that_is_broken_off_leaves_the_idle_one_its_place() -> None:
    threads = HeldTurns()
    engine: Any = SimpleNamespace(ask_to_stop=lambda: None, on_last_worker=lambda: None)
    turns = Turns(threads=threads, signals=RunSignals(), engine=engine)

    def walk() -> bool:
        raise SystemExit

    turns.begin(walk, lambda: None)
    other = threading.Thread(target=turns.become_idle)
    other.start()
    other.join()
    # The ident of a thread that has ended may be given out again, but not to this one.
    threads.held.pop()()
    assert turns.has_idle()


class BrokenOffAfterAdd(RunningJobs):
    """Something raises an exception into the thread right after the job was added."""

    def add(self, job: Claimed) -> None:
        super().add(job)
        raise SystemExit


class BrokenOffBeforeAdd(RunningJobs):
    def add(self, job: Claimed) -> None:
        raise SystemExit


@pytest.mark.parametrize("running", [BrokenOffAfterAdd(workers=1), BrokenOffBeforeAdd(workers=1)])
def test_a_job_whose_worker_is_broken_off_before_its_run_does_not_count_as_running(running: RunningJobs) -> None:
    """Otherwise nothing would ever free it."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    job = Claimed(
        UUID(int=1), "default", "a", 0, "{}", None, 1, 0, 3, "exp", 2.0, 3600.0, 0.0, lease_no=1,
        claimed_at=at, created_at=at, run_at=at, started_at=None,
    )  # fmt: skip
    claimer: Any = SimpleNamespace(last_chance=SimpleNamespace(is_due=False))
    setups: Any = None  # nothing asks for them
    worker = Worker(
        process="host:1",
        registry=Registry(fallback=None, handlers={"a": print}),
        claimer=claimer,
        queue=SettleQueue(tuning=TUNING),
        running=running,
        setups=setups,
    )
    with pytest.raises(SystemExit):
        worker.work(job)
    assert running.claims() == []
