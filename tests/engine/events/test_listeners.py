"""The registry of listeners and the dispatcher thread, on events made by hand."""

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from steve import Attempt, AttemptStatus, Job, Status
from steve._model.claimed import Claimed, Settled
from steve._engine.events.listeners import Dispatcher, Event, Kind, Listeners
from steve._model.outcome import NotBegun, Outcome, Raised, Returned, Snoozed, Unusable, judge
from tests.conftest import until

AT = datetime(2026, 1, 1, tzinfo=UTC)


def later(seconds: int) -> datetime:
    return AT + timedelta(seconds=seconds)


def claimed(number: int = 1, type: str = "a", payload: str = '{"list": [1]}', attempts: int = 1) -> Claimed:
    retry = (3, "exp", 2.0, 3600.0, 0.0)
    return Claimed(
        number, UUID(int=number), "mail", type, 5, payload, "the last error", attempts, 0, *retry, lease_no=7,
        claimed_at=later(2), created_at=AT, run_at=later(1), started_at=None,
    )  # fmt: skip


def event(outcome: Outcome | None, job: Claimed | None = None) -> Event:
    """A run that begins (None), or ended so."""
    job = claimed() if job is None else job
    if outcome is None:
        return Event(job, "host:1", None, None)
    verdict = judge(job, outcome, begun=0.0)
    completed_at = later(4) if verdict.status is not Status.PENDING else None
    run_at = later(1) if completed_at else later(6)
    return Event(job, "host:1", verdict, Settled(job.id, job.lease_no, run_at, later(3), later(4), completed_at, later(3)))


BEGUN = None
DONE = Returned('{"n": 1}')
AGAIN = Raised("RuntimeError: no", "Traceback ...")
FAILED = Unusable("ResultNotStorable: no")
SNOOZED = Snoozed(1.0)
BACK = NotBegun()


# -- who wants to know ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "outcomes"),
    [
        ("success", [DONE]),
        ("failure", [FAILED]),
        ("done", [DONE, FAILED]),
        ("attempt", [BEGUN, DONE, AGAIN, FAILED]),
    ],
)
def test_a_listener_is_told_of_what_its_kind_is_for_and_of_nothing_else(kind: Kind, outcomes: list[Outcome]) -> None:
    listeners = Listeners()
    told: list[Job] = []
    listeners.add(kind, "a", lambda job, *attempt: told.append(job))
    for outcome in (BEGUN, DONE, AGAIN, FAILED, SNOOZED, BACK):
        happened = event(outcome)
        wanted = listeners.want_begin("a") if happened.verdict is None else listeners.want(happened.verdict)
        listeners.tell(happened)
        assert bool(told) == wanted == (outcome in outcomes), outcome
        told.clear()
        listeners.tell(event(outcome, claimed(type="b")))
        assert told == []


def test_where_nobody_listens_nobody_wants_to_know() -> None:
    listeners = Listeners()
    remove = listeners.add("attempt", "b", print)
    verdict = event(DONE).verdict
    assert verdict is not None
    assert not listeners.want_begin("a")
    assert not listeners.want(verdict)
    assert listeners.want_begin("b")
    remove()
    assert not listeners.want_begin("b")


def test_once_is_told_once_at_the_end_and_not_before() -> None:
    listeners = Listeners()
    told: list[str] = []
    listeners.add_once(UUID(int=1), lambda job: told.append(job.status))
    for outcome in (BEGUN, AGAIN, SNOOZED, BACK):
        verdict = event(outcome).verdict
        assert verdict is None or not listeners.want(verdict)
        listeners.tell(event(outcome))
    listeners.tell(event(DONE, claimed(2)))  # another job
    assert told == []
    done = event(DONE)
    assert done.verdict is not None
    assert listeners.want(done.verdict)
    listeners.tell(done)
    listeners.tell(done)
    assert told == ["completed"]
    assert not listeners.want(done.verdict)


def test_once_may_be_dropped_before() -> None:
    listeners = Listeners()
    told: list[Job] = []
    for number in (1, 2, 3):
        listeners.add_once(UUID(int=number), told.append)
    listeners.drop_once(UUID(int=1))
    listeners.drop_once(UUID(int=1))
    listeners.tell(event(DONE, claimed(1)))
    assert told == []
    listeners.drop_once(*listeners.once())
    assert listeners.once() == []
    for number in (2, 3):
        listeners.tell(event(FAILED, claimed(number)))
    assert told == []


def test_a_listener_removed_by_one_that_comes_before_is_not_told_any_more() -> None:
    listeners = Listeners()
    told: list[str] = []
    listeners.add("done", None, lambda job: (told.append("first"), second()))
    second = listeners.add("done", None, lambda job: told.append("second"))
    listeners.add("done", None, lambda job: told.append("third"))
    listeners.tell(event(DONE))
    assert told == ["first", "third"]


def test_one_added_while_an_event_is_told_hears_of_the_next() -> None:
    listeners = Listeners()
    told: list[int] = []
    listeners.add("done", None, lambda job: listeners.add("done", None, lambda job: told.append(job.id)))
    listeners.tell(event(DONE, claimed(1)))
    assert told == []
    listeners.tell(event(DONE, claimed(2)))
    assert told == [2]


# -- what they are told ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "fields"),
    [
        (
            BEGUN,
            {
                "status": "running",
                "error": "the last error",
                "updated_at": later(2),
                "claimed_at": later(2),
                "run_at": later(1),
            },
        ),
        (DONE, {"status": "completed", "error": None, "result": {"n": 1}, "claimed_at": later(2), "run_at": later(1)}),
        (Returned(None), {"status": "completed", "error": None, "result": None}),
        (AGAIN, {"status": "pending", "error": "RuntimeError: no", "result": None, "claimed_at": None, "run_at": later(6)}),
        (FAILED, {"status": "failed", "error": "ResultNotStorable: no", "result": None, "claimed_at": later(2)}),
    ],
    ids=["running", "completed", "completed without a result", "pending", "failed"],
)
def test_a_job_is_told_as_the_database_has_it(outcome: Outcome | None, fields: dict[str, Any]) -> None:
    job = event(outcome).make_job()
    assert {name: getattr(job, name) for name in fields} == fields
    assert type(job.status) is Status
    always = (job.id, job.uid, job.queue, job.type, job.priority, job.payload, job.attempts, job.max_attempts, job.created_at)
    assert always == (1, UUID(int=1), "mail", "a", 5, {"list": [1]}, 1, 3, AT)
    if outcome is not BEGUN:
        assert (job.started_at, job.updated_at) == (later(3), later(4))
        assert job.completed_at == (None if job.status == "pending" else later(4))


def test_an_attempt_is_told_as_it_begins_and_as_it_ended() -> None:
    assert event(BEGUN).make_attempt() == Attempt(1, 1, "host:1", later(2), None, AttemptStatus.RUNNING, None, None)
    assert event(DONE).make_attempt() == Attempt(1, 1, "host:1", later(3), later(4), AttemptStatus.SUCCESS, None, None)
    assert event(AGAIN, claimed(attempts=2)).make_attempt() == Attempt(
        1, 2, "host:1", later(3), later(4), AttemptStatus.ERROR, "RuntimeError: no", "Traceback ..."
    )


def test_each_listener_gets_a_job_of_its_own() -> None:
    listeners = Listeners()
    told: list[Job] = []

    def spoil(job: Job, attempt: Attempt | None = None) -> None:
        told.append(job)
        job.payload["list"].clear()
        job.result.clear()

    for kind in ("success", "done", "attempt"):
        listeners.add(kind, None, spoil)
    listeners.add("success", None, told.append)
    listeners.add_once(UUID(int=1), told.append)
    listeners.tell(event(DONE))
    assert [(job.payload, job.result) for job in told[3:]] == [({"list": [1]}, {"n": 1})] * 2
    assert len({id(job.payload) for job in told}) == 5


def test_a_payload_that_python_cannot_hold_is_told_as_the_text_it_is() -> None:
    """The job failed for that; who listens for failures must hear of it."""
    text = '{"n": 1' + "0" * 5000 + "}"
    listeners = Listeners()
    told: list[Job] = []
    listeners.add("failure", None, told.append)
    listeners.tell(event(Unusable("PayloadNotDecodable"), claimed(payload=text)))
    assert [job.payload for job in told] == [text]


# -- the dispatcher -------------------------------------------------------------------------------------------------------


class Desk:
    def __init__(self) -> None:
        self.listeners = Listeners()
        self.ends: list[str] = []
        self.dispatcher = Dispatcher(self.listeners, lambda: self.ends.append("end"))
        self.thread = threading.Thread(target=self.dispatcher.run)

    def finish(self) -> None:
        self.dispatcher.end()
        if not self.thread.is_alive() and not self.ends:
            self.thread.start()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    if desk.thread.is_alive():
        desk.finish()


def test_events_are_told_in_the_order_in_which_they_were_put_and_the_end_comes_after_the_last(desk: Desk) -> None:
    told: list[int] = []
    desk.listeners.add("done", None, lambda job: told.append(job.id))
    for number in range(500):
        desk.dispatcher.put(event(DONE, claimed(number)))
    assert desk.dispatcher.waiting() == 500
    desk.finish()
    assert told == list(range(500))
    assert desk.ends == ["end"]
    assert desk.dispatcher.waiting() == 0


@pytest.mark.parametrize("error", [Exception, SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_the_dispatcher_survives_whatever_a_listener_raises(
    desk: Desk, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    told: list[int] = []

    def raising(job: Job) -> None:
        raise error

    desk.listeners.add("done", None, raising)
    desk.listeners.add("done", None, lambda job: told.append(job.id))
    for number in range(10):
        desk.dispatcher.put(event(DONE, claimed(number)))
    desk.finish()
    assert told == list(range(10))
    assert len(caplog.records) == 10
    assert (caplog.records[0].levelname, caplog.records[0].job_uid) == ("ERROR", str(UUID(int=0)))  # type: ignore[attr-defined]


def test_events_that_nobody_could_be_told_of_yet_are_counted_without_the_end(desk: Desk) -> None:
    blocked, told = threading.Event(), threading.Event()

    def slow(job: Job) -> None:
        told.set()
        blocked.wait(20)

    desk.listeners.add("done", None, slow)
    desk.thread.start()
    try:
        for number in range(4):
            desk.dispatcher.put(event(DONE, claimed(number)))
        assert told.wait(10)
        desk.dispatcher.end()
        assert desk.dispatcher.waiting() == 3
    finally:
        blocked.set()


def test_the_warning_about_slow_listeners_comes_once_each_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("steve._engine.events.listeners.EVENTS_MOST", 10)
    allowed = threading.Semaphore(0)
    told: list[int] = []

    def slow(job: Job) -> None:
        allowed.acquire(timeout=20)
        told.append(job.id)

    def warnings() -> int:
        return sum(record.levelno == logging.WARNING for record in caplog.records)

    def fill(total: int) -> None:
        while not desk.dispatcher.brake.check():
            desk.dispatcher.put(event(DONE, claimed(total)))

    def let(number: int) -> None:
        before = len(told)
        allowed.release(number)
        until(lambda: len(told) == before + number)

    desk.listeners.add("done", None, slow)
    desk.thread.start()
    try:
        fill(1)
        let(2)
        until(lambda: warnings() == 1)
        let(1)
        assert desk.dispatcher.brake.check()
        let(4)
        until(lambda: not desk.dispatcher.brake.check())
        fill(2)
        let(1)
        until(lambda: warnings() == 2)
    finally:
        allowed.release(1000)
    desk.finish()
    assert warnings() == 2


def test_adding_removing_and_telling_from_many_threads_at_once_loses_nothing(desk: Desk) -> None:
    told: list[int] = []
    desk.listeners.add("done", None, lambda job: told.append(job.id))
    enough = threading.Event()
    errors: list[BaseException] = []

    def churn(add: Callable[[], Callable[[], None]]) -> None:
        try:
            while not enough.is_set():
                add()()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=churn, args=(lambda: desk.listeners.add("done", ["a", "b"], len),)) for _ in range(4)]
    desk.thread.start()
    for thread in threads:
        thread.start()
    try:
        for number in range(300):
            desk.dispatcher.put(event(DONE, claimed(number)))
        until(lambda: len(told) == 300)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert told == list(range(300))


def test_a_dispatcher_whose_end_was_lost_with_who_took_it_comes_to_its_end() -> None:
    ended: list[bool] = []
    dispatcher = Dispatcher(Listeners(), lambda: ended.append(True))
    dispatcher.end()
    dispatcher._events.get()
    teller = threading.Thread(target=dispatcher.run, daemon=True)
    teller.start()
    teller.join(5)
    assert ended == [True]
