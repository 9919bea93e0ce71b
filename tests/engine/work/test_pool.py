"""The crew on a real thread pool, given a list in place of the database: how chains of turns walk, park, are roused and end."""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from steve import Job, Snooze, Status, current_run
from steve._engine.claim.buffer import JobBuffer
from steve._engine.events.listeners import Dispatcher, Event, Listeners
from steve._engine.settle.settler import SettleQueue
from steve._engine.upkeep.outage import Outage
from steve._engine.work.handlers import Handlers
from steve._engine.work.pool import WorkerPool
from steve._model.claim import ClaimReply, Demand
from steve._model.claimed import Claimed
from steve._model.outcome import Verdict
from tests.conftest import until

FAR = 60.0
"""Seconds between polls: farther than any test waits."""


def claimed(number: int, type: str = "a") -> Claimed:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    retry = (3, "exp", 2.0, 3600.0, 0.0)
    return Claimed(
        number, UUID(int=number), "default", type, 0, "{}", None, 1, 0, *retry, lease_no=1,
        claimed_at=at, created_at=at, run_at=at, started_at=None,
    )  # fmt: skip


class Shop:
    """A crew with everything that it needs around it."""

    def __init__(self, workers: int, handler: Callable[[Job], Any]) -> None:
        self.stock: deque[Claimed] = deque()
        self.claims = 0
        self.exiting = False
        self.turns = 0
        self.asked_to_stop = threading.Event()
        self.ends: list[str] = []
        self.handlers = Handlers(None, {"a": handler})
        self.listeners = Listeners()
        self.dispatcher = Dispatcher(self.listeners, lambda: None)
        self.pile = SettleQueue()
        self.executor = ThreadPoolExecutor(workers, "shop")
        self.hand = JobBuffer(self._claim, lambda since: [], self.pile.put, self.handlers, Outage(), FAR, workers)
        self.crew = WorkerPool(
            workers,
            "host:1",
            self._submit,
            self.hand,
            self.pile,
            self.handlers,
            self.listeners,
            self.dispatcher,
            self.asked_to_stop.set,
            lambda: self.ends.append("end"),
            1 << 20,
        )

    def _claim(self, demand: Demand) -> ClaimReply:
        self.claims += 1
        jobs = [self.stock.popleft() for _ in range(min(demand.n, len(self.stock)))]
        return ClaimReply(jobs, None, scan_seconds=0.0, heads={})

    def _submit(self, turn: Callable[[], None]) -> object:
        if self.exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self.turns += 1
        return self.executor.submit(turn)

    def open(self, *jobs: Claimed) -> None:
        self.stock.extend(jobs)
        self.crew.start()

    def deliver(self, *jobs: Claimed) -> None:
        self.stock.extend(jobs)
        self.hand.wake()

    def close(self) -> list[Verdict]:
        """Stops the crew, waits for its end, and returns what lies on the pile."""
        self.crew.stop()
        until(lambda: self.ends)
        self.pile.end()
        verdicts: list[Verdict] = []
        ended = False
        while not ended:
            group, _, ended = self.pile.take()
            verdicts += group
        return verdicts


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Something for handlers to wait for; open when the test ends, whatever became of it."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def make_shop(gate: threading.Event) -> Iterator[Callable[..., Shop]]:
    shops: list[Shop] = []

    def make(workers: int, handler: Callable[[Job], Any] = lambda job: None, kind: type[Shop] = Shop) -> Shop:
        shops.append(kind(workers, handler))
        return shops[-1]

    yield make
    gate.set()
    for shop in shops:
        shop.crew.stop()
        until(lambda shop=shop: shop.ends)
        shop.executor.shutdown()


# -- the walk -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 10, 50])
def test_each_job_is_run_once_however_many_workers_there_are(make_shop: Callable[..., Shop], workers: int) -> None:
    shop = make_shop(workers)
    shop.open(*map(claimed, range(500)))
    until(lambda: len(shop.pile) == 500)
    shop.deliver(*map(claimed, range(500, 1000)))
    until(lambda: len(shop.pile) == 1000)
    verdicts = shop.close()
    assert Counter(verdict.job.id for verdict in verdicts) == Counter(range(1000))
    assert {verdict.status for verdict in verdicts} == {Status.COMPLETED}
    assert shop.ends == ["end"]


def test_as_many_jobs_run_at_once_as_there_are_workers_and_no_more(
    make_shop: Callable[..., Shop], gate: threading.Event
) -> None:
    begun: list[int] = []

    def handler(job: Job) -> None:
        begun.append(job.id)
        gate.wait(30)

    shop = make_shop(4, handler)
    shop.open(*map(claimed, range(10)))
    until(lambda: len(begun) == 4)
    assert {running.job.id for running in shop.crew.running.values()} == set(begun)
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    assert all(names[running.thread].startswith("shop") for running in shop.crew.running.values())
    assert len(shop.stock) + len(shop.hand) == 6
    gate.set()
    until(lambda: len(shop.pile) == 10)
    until(lambda: not shop.crew.running)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError])
def test_a_handler_that_raises_anything_ends_neither_its_thread_nor_its_chain(
    make_shop: Callable[..., Shop], error: type[BaseException]
) -> None:
    threads: set[int] = set()

    def handler(job: Job) -> None:
        threads.add(threading.get_ident())
        raise error("no")

    shop = make_shop(1, handler)
    shop.open(*map(claimed, range(20)))
    until(lambda: len(shop.pile) == 20)
    assert {verdict.error for verdict in shop.close()} == {f"{error.__name__}: no"}
    assert len(threads) == 1


def test_what_is_raised_into_a_run_from_outside_is_its_outcome(
    make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a debugger does it, or PyThreadState_SetAsyncExc: at a moment when nothing guards the handler yet."""

    def broken_off(*arguments: Any) -> None:
        raise SystemExit("now")

    shop = make_shop(1)
    monkeypatch.setattr("steve._engine.work.pool.run", broken_off)
    shop.open(*map(claimed, range(3)))
    until(lambda: len(shop.pile) == 3)
    until(lambda: not shop.crew.running)
    assert {verdict.error for verdict in shop.close()} == {"SystemExit: the run was broken off"}


def test_a_job_whose_type_has_no_handler_any_more_goes_back(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(1)
    shop.open(claimed(1), claimed(2, "gone"), claimed(3))
    until(lambda: len(shop.pile) == 3)
    assert {verdict.job.id: (verdict.status, verdict.delay) for verdict in shop.close()} == {
        1: (Status.COMPLETED, 0.0),
        2: (Status.PENDING, None),
        3: (Status.COMPLETED, 0.0),
    }


def test_a_job_that_runs_anew_before_its_earlier_run_is_over_is_seen_to_run(
    make_shop: Callable[..., Shop], gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was due again at once, and the settler and another worker were quick."""
    again = claimed(1)._replace(lease_no=2, attempts=2)
    shop = make_shop(2, lambda job: gate.wait(30) if job.attempts == 2 else None)
    put, first_is_over = shop.pile.put, threading.Event()

    def put_and_wait(verdict: Verdict) -> None:
        put(verdict)
        if verdict.job.attempts == 1:
            shop.deliver(again)
            until(lambda: [running for running in shop.crew.running.values() if running.job == again])
            first_is_over.set()

    monkeypatch.setattr(shop.pile, "put", put_and_wait)
    shop.open(claimed(1))
    assert first_is_over.wait(10)
    until(lambda: [running.job for running in shop.crew.running.values()] == [again])
    gate.set()
    until(lambda: not shop.crew.running)


def test_a_snooze_is_a_verdict_like_others(make_shop: Callable[..., Shop]) -> None:
    def handler(job: Job) -> None:
        raise Snooze(7)

    shop = make_shop(1, handler)
    shop.open(claimed(1))
    until(lambda: len(shop.pile) == 1)
    (verdict,) = shop.close()
    assert (verdict.status, verdict.attempt_status, verdict.delay) == (Status.PENDING, None, 7.0)


def test_the_beginning_of_a_run_is_announced_only_where_somebody_listens(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(1)
    shop.open(claimed(1))
    until(lambda: len(shop.pile) == 1)
    assert shop.pile.take().begun == []
    with shop.listeners.add("attempt", "a", print):
        shop.deliver(claimed(2))
        (event,) = until(lambda: shop.pile.take().begun)
    assert (event.job, event.process, event.status()) == (claimed(2), "host:1", Status.RUNNING)


# -- parked and roused ----------------------------------------------------------------------------------------------------


def test_of_idle_workers_one_waits_and_the_others_have_no_turn(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(10)
    shop.open(*map(claimed, range(100)))
    until(lambda: len(shop.pile) == 100)
    until(lambda: shop.crew._active == 1)
    until(lambda: shop.crew._watch.locked())


def test_an_idle_chain_ends_its_turn_again_and_again_and_asks_the_database_no_more_for_it(
    make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve._engine.work.pool.IDLE_SECONDS", 0.01)
    shop = make_shop(4)
    shop.open()
    until(lambda: shop.turns > 20)
    assert shop.claims == 1


def test_a_busy_chain_ends_its_turn_after_a_while(make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.work.pool.TURN_SECONDS", 0.0)
    shop = make_shop(1)
    shop.open(*map(claimed, range(50)))
    until(lambda: len(shop.pile) == 50)
    assert shop.turns >= 50


@pytest.mark.parametrize("learned", [False, True], ids=["a type that has never run", "a type that was fast until now"])
def test_all_workers_that_are_needed_are_roused(make_shop: Callable[..., Shop], learned: bool) -> None:
    together = threading.Barrier(8)
    shop = make_shop(8, lambda job: together.wait(10) if job.id >= 1000 else None)
    shop.open(*map(claimed, range(500 if learned else 0)))
    until(lambda: len(shop.pile) == len(range(500 if learned else 0)))
    for round in (1000, 2000, 3000):
        shop.deliver(*map(claimed, range(round, round + 8)))
        until(lambda: not shop.crew.running and not shop.stock and not len(shop.hand))
    verdicts = shop.close()
    assert {verdict.status for verdict in verdicts if verdict.job.id >= 1000} == {Status.COMPLETED}


def test_a_job_that_comes_while_all_but_one_are_busy_is_run_by_that_one(
    make_shop: Callable[..., Shop], gate: threading.Event
) -> None:
    shop = make_shop(3, lambda job: gate.wait(30) if job.id >= 1000 else None)
    shop.open(claimed(1000), claimed(1001))
    until(lambda: len(shop.crew.running) == 2)
    for number in range(50):
        shop.deliver(claimed(number))
        until(lambda number=number: len(shop.pile) == number + 1)


def test_a_turn_that_fails_is_logged_and_the_chain_goes_on(
    make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop = make_shop(2)
    refill, errors = shop.hand.refill, [SystemExit(), RuntimeError("a defect")]

    def fail_at_first(idle: int) -> int:
        if errors:
            raise errors.pop()
        return refill(idle)

    monkeypatch.setattr(shop.hand, "refill", fail_at_first)
    shop.open(*map(claimed, range(20)))
    until(lambda: len(shop.pile) == 20)
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.message for record in records] == ["a worker's turn failed; the worker goes on"] * 2
    assert "a defect" in caplog.text


# -- on its last chance -------------------------------------------------------------------------------------------------


class Ward(Shop):
    """A shop with jobs on their last chance, which a claim brings only alone."""

    def __init__(self, workers: int, handler: Callable[[Job], Any]) -> None:
        super().__init__(workers, handler)
        self.last: list[Claimed] = []
        self.looks = 0
        self.settled: list[Verdict] = []
        self.settling = threading.Thread(target=self._settle, daemon=True)

    def _claim(self, demand: Demand) -> ClaimReply:
        due = bool(self.last)
        if not demand.alone:
            return super()._claim(demand)._replace(last_chance=due)
        self.looks += 1
        jobs = [self.last.pop() for _ in range(min(demand.suspects, len(self.last)))]
        return ClaimReply(jobs, None, scan_seconds=0.0, heads={}, last_chance=due)

    def _settle(self) -> None:
        """What was run is written down, what was given back can be claimed again."""
        ended = False
        while not ended:
            verdicts, _, ended = self.pile.take()
            self.settled += [verdict for verdict in verdicts if verdict.delay is not None]
            self.stock.extend(verdict.job for verdict in verdicts if verdict.delay is None)

    def close(self) -> list[Verdict]:
        self.crew.stop()
        until(lambda: self.ends)
        self.pile.end()
        self.settling.join(10)
        return self.settled


def test_a_job_on_its_last_chance_begins_when_nothing_runs_and_nothing_begins_until_it_ends(
    make_shop: Callable[..., Ward], gate: threading.Event
) -> None:
    begun: list[int] = []
    first = threading.Event()

    def handler(job: Job) -> None:
        begun.append(job.id)
        (first if job.id < 10 else gate).wait(30)

    ward = make_shop(4, handler, Ward)
    ward.settling.start()
    ward.open(claimed(1), claimed(2))
    until(lambda: len(begun) == 2)
    ward.last = [claimed(100)._replace(crashes=2, attempts=3)]
    ward.hand.wake(everywhere=True)
    until(lambda: ward.hand.last_chance)
    ward.deliver(claimed(200), claimed(201))
    assert sorted(begun) == [1, 2]
    first.set()
    until(lambda: len(begun) == 3)
    assert begun[2] == 100
    ward.hand.wake()
    assert [one.job.id for one in ward.crew.running.values()] == [100]
    gate.set()
    until(lambda: len(ward.settled) == 5)
    assert [verdict.status for verdict in ward.close()] == [Status.COMPLETED] * 5
    assert set(begun) == {1, 2, 100, 200, 201}


def test_a_job_on_its_last_chance_begins_only_when_the_outcomes_of_others_are_written(
    make_shop: Callable[..., Ward], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it kills this process, what they did must not be lost with it."""
    begun: list[int] = []
    ward = make_shop(2, lambda job: begun.append(job.id), Ward)
    is_settled, asked = ward.pile.is_settled, []

    def ask() -> bool:
        asked.append(is_settled())
        return asked[-1]

    monkeypatch.setattr(ward.pile, "is_settled", ask)
    ward.open(claimed(1), claimed(2))
    until(lambda: len(ward.pile) == 2 and not ward.crew.running)
    ward.last = [claimed(100)._replace(crashes=2, attempts=3)]
    ward.hand.wake(everywhere=True)
    until(lambda: len(asked) >= 3 or len(begun) == 3)
    assert sorted(begun) == [1, 2]
    assert not any(asked)
    ward.settling.start()
    until(lambda: len(begun) == 3)
    assert len(ward.close()) == 3


def test_who_waits_to_go_alone_goes_on_when_another_process_took_the_job(
    make_shop: Callable[..., Ward], gate: threading.Event
) -> None:
    ward = make_shop(3, lambda job: gate.wait(30) if job.id < 10 else None, Ward)
    ward.hand._poll_interval = 0.05
    ward.open(claimed(1))
    until(lambda: ward.crew.running)
    ward.last = [claimed(100)._replace(crashes=2, attempts=3)]
    ward.hand.wake(everywhere=True)
    until(lambda: ward.looks >= 2)  # from poll to poll
    assert ward.hand.last_chance
    ward.deliver(claimed(200))
    ward.last = []
    until(lambda: len(ward.pile) == 1)
    assert not ward.hand.last_chance


# -- brakes ---------------------------------------------------------------------------------------------------------------


def test_while_too_many_verdicts_wait_nothing_more_is_begun(
    make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve._engine.settle.settler.PILE_MOST", 20)
    shop = make_shop(4)
    shop.open(*map(claimed, range(200)))
    until(lambda: shop.pile.brake.check() and not shop.crew.running)
    assert 20 <= len(shop.pile) < 30
    settled: list[Verdict] = []
    while len(settled) < 200:
        until(lambda: len(shop.pile))
        settled += shop.pile.take()[0]
    assert Counter(verdict.job.id for verdict in settled) == Counter(range(200))


def test_while_too_many_events_wait_nothing_is_claimed(make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.events.listeners.EVENTS_MOST", 20)
    monkeypatch.setattr("steve._engine.work.pool.IDLE_SECONDS", 0.01)
    shop = make_shop(4)
    for number in range(20):
        shop.dispatcher.put(Event(claimed(number), "host:1", None, None))
    shop.open(*map(claimed, range(200)))
    until(lambda: shop.turns > 10)
    assert shop.claims == 0
    telling = threading.Thread(target=shop.dispatcher.run)
    telling.start()
    try:
        until(lambda: len(shop.pile) == 200)
    finally:
        shop.dispatcher.end()
        telling.join(10)


def test_while_too_many_events_wait_nothing_is_looked_for_beside_the_claims_either(
    make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve._engine.events.listeners.EVENTS_MOST", 1)
    shop = make_shop(1)
    shop.dispatcher.put(Event(claimed(1), "host:1", None, None))
    shop.crew.look_everywhere(shop._claim)
    assert shop.claims == 0


# -- the end --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 8])
def test_the_end_comes_once_when_the_last_handler_has_returned(
    make_shop: Callable[..., Shop], gate: threading.Event, workers: int
) -> None:
    shop = make_shop(workers, lambda job: gate.wait(30))
    shop.open(*map(claimed, range(workers + 5)))
    until(lambda: len(shop.crew.running) == workers)
    for _ in range(3):
        shop.crew.stop()
    assert shop.ends == []
    gate.set()
    verdicts = shop.close()
    assert [verdict.status for verdict in verdicts] == [Status.COMPLETED] * workers
    assert shop.ends == ["end"]


def test_an_idle_crew_ends_at_once(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(10)
    shop.open()
    until(lambda: shop.crew._watch.locked())
    assert shop.close() == []


def test_a_crew_that_was_never_started_ends_too(make_shop: Callable[..., Shop]) -> None:
    assert make_shop(2).close() == []


def test_handlers_see_that_the_crew_stops(make_shop: Callable[..., Shop]) -> None:
    waiting = threading.Event()

    def patient(job: Job) -> bool:
        waiting.set()
        return current_run().wait(60)

    shop = make_shop(1, patient)
    shop.open(claimed(1))
    assert waiting.wait(10)
    (verdict,) = shop.close()
    assert verdict.result == "true"


def test_when_the_interpreter_exits_an_idle_chain_asks_for_the_end_and_ends(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(4)
    shop.open(*map(claimed, range(10)))
    until(lambda: len(shop.pile) == 10)
    shop.exiting = True
    until(lambda: shop.ends)
    assert shop.asked_to_stop.is_set()
    assert shop.crew.signals.is_stopping()


def test_when_the_interpreter_exits_a_running_job_is_finished_first(
    make_shop: Callable[..., Shop], gate: threading.Event
) -> None:
    shop = make_shop(2, lambda job: gate.wait(30))
    shop.open(claimed(1), claimed(2))
    until(lambda: len(shop.crew.running) == 2)
    shop.exiting = True
    assert shop.ends == []
    gate.set()
    assert [verdict.status for verdict in shop.close()] == [Status.COMPLETED] * 2
    assert shop.asked_to_stop.is_set() or shop.crew.signals.is_stopping()
