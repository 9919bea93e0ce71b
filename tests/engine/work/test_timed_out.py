"""What becomes of a run that has a timeout: which timeout it is, and which outcomes count as TimedOut."""

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

import psycopg
import pytest

from steve import Cancel, Fail, Job, Retry, Snooze, Stopped, TimedOut, TimeLimit, current_run
from steve._engine.records.records import Records
from steve._engine.registry import Registry
from steve._engine.work.deadlines import own_thread
from steve._engine.work.handlers import Handlers
from steve._engine.work.limit import Limit, Limits
from steve._engine.work.run import run
from steve._engine.work.setup import Setup, Setups
from steve._engine.work.signals import RunSignals
from steve._model.claimed import Claimed
from steve._model.outcome import CancelRaised, Outcome, Raised, Returned, Snoozed
from steve._model.settings import Settings
from steve._model.terms import HandlerTerms
from steve.run import current_window, uninterrupted
from tests.conftest import until
from tests.engine.work.harness import FakeStuck
from tests.rows import claimed

EXTRAS = '{"timeout": 5}'
TIMEOUT = 0.02
LONG: dict[str, Any] = {"interrupt": True, "timeout": 1.0}
"""For handlers that are interrupted, and must have begun by then."""


class Runs:
    def __init__(self) -> None:
        self.registry = Registry(fallback=None, handlers=None)
        self.handlers = self.registry.handlers
        self.deadlines = own_thread()
        self.stuck = FakeStuck()
        self.signals = RunSignals(deadlines=self.deadlines)

    def setup(self, job: Claimed, **given: Any) -> Setup | None:
        settings = Settings(**given)
        limits = Limits(handlers=self.handlers, settings=settings, deadlines=self.deadlines, stuck=self.stuck)
        records = Records(capture_of=lambda name: None, tuning=settings.tuning)
        return Setups(registry=self.registry, limits=limits, records=records, settings=settings).of(job)

    def outcome_of(self, handler: Callable[[Job], Any], **terms: Any) -> Outcome:
        """`terms`: those of the handler, with a timeout of 20 ms."""
        self.handlers.set("a", handler, HandlerTerms(**({"timeout": TIMEOUT} | terms)))
        job = claimed()
        return run(job, handler, self.signals, 1 << 20, self.handlers.terms, setup=self.setup(job))


@pytest.fixture
def runs() -> Iterator[Runs]:
    runs = Runs()
    yield runs
    runs.deadlines.end()


# -- which timeout --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_create", "of_handler", "of_manager", "expected"),
    [
        (None, None, None, None),
        (None, None, 3.0, 3.0),
        (None, 4.0, None, 4.0),
        (None, 4.0, 3.0, 4.0),
        (5.0, None, None, 5.0),
        (5.0, 4.0, 3.0, 5.0),
        (5.0, None, 3.0, 5.0),
    ],
)
def test_the_timeout_is_that_of_create_else_that_of_the_handler_else_that_of_the_manager(
    runs: Runs, of_create: float | None, of_handler: float | None, of_manager: float | None, expected: float | None
) -> None:
    job = claimed(extras=None if of_create is None else f'{{"timeout": {of_create}}}')
    seen: list[tuple[float | None, float | None]] = []

    def handler(job: Job) -> None:
        seen.append((current_run().deadline, current_run().remaining()))

    runs.handlers.add("a", handler, HandlerTerms(timeout=of_handler))
    setup = runs.setup(job, timeout=of_manager)
    assert (setup is not None) is (expected is not None)
    began = time.monotonic()
    run(job, handler, runs.signals, 1 << 20, setup=setup)
    ((deadline, remaining),) = seen
    if expected is None:
        assert deadline is remaining is None
    else:
        assert deadline is not None
        assert remaining is not None
        assert began + expected <= deadline <= time.monotonic() + expected
        assert 0 < remaining <= expected


def test_a_type_whose_handler_is_taken_away_has_no_timeout_any_more(runs: Runs) -> None:
    runs.handlers.set("a", print, HandlerTerms(timeout=1.0))
    assert runs.setup(claimed()) is not None
    runs.handlers.set("a", print, None)
    assert runs.setup(claimed()) is None
    runs.handlers.set("a", print, HandlerTerms(timeout=1.0))
    runs.handlers.clear()
    assert runs.setup(claimed()) is None


def test_what_one_type_asks_for_sets_up_nothing_for_the_others(runs: Runs) -> None:
    runs.handlers.set("b", print, HandlerTerms(timeout=1.0))
    runs.handlers.set("c", print, HandlerTerms(capture_logs="INFO"))  # type: ignore[arg-type]
    assert runs.setup(claimed()) is None
    assert runs.setup(claimed(type="c")) is not None


# -- what counts as TimedOut ----------------------------------------------------------------------------------------------


def late() -> None:
    """Wait until the deadline has passed."""
    assert current_run().wait(60)
    assert current_run().timed_out
    assert current_run().remaining() == 0.0


def checks(job: Job) -> None:
    late()
    current_run().check()


def checks_and_wraps(job: Job) -> NoReturn:
    try:
        checks(job)
    except Stopped as stopped:
        raise RuntimeError("a library's own error") from stopped
    raise AssertionError


def loops(job: Job) -> None:
    while True:
        pass


def wraps_a_time_limit(job: Job) -> None:
    try:
        loops(job)
    finally:
        raise RuntimeError("an error while it cleaned up")


TIMED_OUT: dict[str, tuple[Callable[[Job], Any], dict[str, Any]]] = {
    "check() raises": (checks, {}),
    "check() raises, and a library wraps it": (checks_and_wraps, {}),
    "interrupted": (loops, LONG),
    "interrupted, and the cleaning up fails": (wraps_a_time_limit, LONG),
}


@pytest.mark.parametrize("name", TIMED_OUT)
def test_what_a_handler_raises_because_of_its_deadline_is_recorded_as_timed_out(runs: Runs, name: str) -> None:
    handler, terms = TIMED_OUT[name]
    outcome = runs.outcome_of(handler, **terms)
    assert isinstance(outcome, Raised)
    assert (outcome.message, outcome.error_type) == (f"TimedOut after {terms.get('timeout', TIMEOUT):g} s", "steve.TimedOut")
    assert outcome.details is not None
    assert outcome.details.startswith(("Traceback", "steve."))
    assert handler.__name__ in outcome.details, "the traceback of what was raised is kept"
    assert isinstance(outcome.error, TimedOut)
    assert not outcome.is_final
    assert outcome.delay is None


def raising(make: Callable[[], BaseException]) -> Callable[[Job], NoReturn]:
    def handler(job: Job) -> NoReturn:
        late()
        raise make()

    return handler


class Cancelled(psycopg.errors.QueryCanceled):
    """statement_timeout, for example: steve has asked for no cancel."""


@pytest.mark.parametrize("error", [ValueError("no"), Cancelled("statement timeout"), KeyboardInterrupt()])
def test_an_error_that_has_another_cause_keeps_its_name(runs: Runs, error: BaseException) -> None:
    outcome = runs.outcome_of(raising(lambda: error))
    assert isinstance(outcome, Raised)
    assert type(error).__name__ in outcome.message


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (Snooze(3), Snoozed(3.0)),
        (Cancel("no"), CancelRaised("Cancelled: no", None)),
        (Fail("no"), Raised("Fail: no", None, None, "steve.Fail", is_final=True)),
        (Retry(3), Raised("Retry", None, None, "steve.Retry", delay=3.0)),
    ],
)
def test_a_handler_that_says_what_is_to_become_of_its_job_is_taken_at_its_word(
    runs: Runs, word: BaseException, expected: Outcome
) -> None:
    outcome = runs.outcome_of(raising(lambda: word))
    if isinstance(outcome, Raised):
        outcome = outcome._replace(error=None)
    assert outcome == expected


def test_a_handler_that_returns_all_the_same_has_completed(runs: Runs) -> None:
    assert runs.outcome_of(lambda job: late()) == Returned(None)


def test_a_handler_that_catches_what_interrupts_it_has_completed(runs: Runs) -> None:
    def handler(job: Job) -> str:
        try:
            loops(job)
        except TimeLimit:
            pass
        return "all the same"

    assert runs.outcome_of(handler, **LONG) == Returned('"all the same"')


@pytest.mark.parametrize("reason", ["stopping", "lost", "cancelled"])
def test_stopped_for_another_reason_gives_the_job_back(runs: Runs, reason: str) -> None:
    """A cancelled job ends `cancelled` by the settlement, and the verdict on a lost one is dropped."""

    def handler(job: Job) -> None:
        raise Stopped(reason)

    assert runs.outcome_of(handler) == Snoozed(0.0)


# -- give_up_on and retry_delay -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("give_up_on", "is_final"),
    [((), False), ((TimedOut,), True), ((Exception,), True), ((TimeLimit, psycopg.Error, RuntimeError), False)],
)
def test_a_handler_may_give_up_on_timed_out(runs: Runs, give_up_on: Any, is_final: bool) -> None:
    """What was raised is only how the handler learned of it."""
    outcome = runs.outcome_of(loops, interrupt=True, give_up_on=give_up_on)
    assert isinstance(outcome, Raised)
    assert outcome.is_final is is_final


def test_retry_delay_is_asked_about_timed_out(runs: Runs) -> None:
    asked: list[BaseException] = []

    def delay(job: Job, error: BaseException) -> float:
        asked.append(error)
        return 42.0

    outcome = runs.outcome_of(checks, retry_delay=delay)
    assert isinstance(outcome, Raised)
    assert outcome.delay == 42.0
    (error,) = asked
    assert isinstance(error, TimedOut)
    assert isinstance(error.__cause__, Stopped)


# -- check ----------------------------------------------------------------------------------------------------------------


def test_check_names_the_most_pressing_reason(runs: Runs) -> None:
    said: list[str] = []
    job = claimed()

    def say() -> None:
        try:
            current_run().check()
        except Stopped as stopped:
            said.append(stopped.reason)

    def has_no_timeout(given: Job) -> None:
        say()
        runs.signals.stop()
        say()

    def handler(given: Job) -> None:
        until(lambda: current_run().timed_out)
        say()
        runs.signals.cancel([job.uid], [job.key()])
        say()
        runs.signals.lose([job.key()], [job.key()])
        say()

    runs.outcome_of(has_no_timeout, timeout=None)
    runs.outcome_of(handler)
    assert said == ["stopping", "timed_out", "cancelled", "lost"]


@pytest.mark.parametrize("reason", ["", "timeout", None, 5])
def test_stopped_has_one_of_four_reasons(reason: Any) -> None:
    with pytest.raises(ValueError, match="must be one of lost, cancelled, timed_out, stopping"):
        Stopped(reason)


@pytest.mark.parametrize(("seconds", "is_over"), [(0.001, False), (60, True)])
def test_a_wait_ends_at_the_deadline(runs: Runs, seconds: float, is_over: bool) -> None:
    waited: list[bool] = []
    runs.outcome_of(lambda job: waited.append(current_run().wait(seconds)), timeout=5.0 if not is_over else TIMEOUT)
    assert waited == [is_over]


# -- what a limit does when it is looked at --------------------------------------------------------------------------------


class Asked:
    """A window that cannot be interrupted until the test says so."""

    def __init__(self) -> None:
        self.can_be = False
        self.asked = 0

    def interrupt(self) -> bool:
        self.asked += 1
        return self.can_be


def make_limit(window: Any = None) -> tuple[Limit, FakeStuck]:
    stuck = FakeStuck()
    deadlines: Any = SimpleNamespace(watch=lambda one, at: None, over=lambda: None)
    limits = Limits(handlers=Handlers(None, None), settings=Settings(stuck_after=5.0), deadlines=deadlines, stuck=stuck)
    return Limit(job=claimed(), seconds=3.0, window=window, limits=limits), stuck


def test_a_limit_is_looked_at_at_its_deadline_and_when_its_handler_is_stuck() -> None:
    limit, stuck = make_limit()
    assert limit.look(limit.deadline - 1) == limit.deadline
    assert limit.look(limit.deadline) == limit.deadline + 5
    assert stuck.limits == []
    assert limit.look(limit.deadline + 5) is None
    assert stuck.limits == [limit]
    limit.finish()
    assert not limit.is_over, "it is looked at once more, to take it from the stuck ones"
    assert limit.look(limit.deadline + 6) is None
    assert stuck.limits == []
    assert limit.is_over


def test_a_handler_that_cannot_be_interrupted_yet_is_tried_again() -> None:
    window = Asked()
    limit, _ = make_limit(window)
    assert limit.look(limit.deadline) == limit.deadline + 0.1
    window.can_be = True
    assert limit.look(limit.deadline + 0.1) == limit.deadline + 5
    assert window.asked == 2


def test_a_handler_that_returns_in_time_is_not_looked_at() -> None:
    limit, stuck = make_limit()
    limit.finish()
    assert limit.is_over
    assert limit.look(limit.deadline + 10) is None
    assert stuck.limits == []


# -- where TimeLimit must not strike ---------------------------------------------------------------------------------------


def test_a_handler_is_not_interrupted_while_it_waits_with_its_run(runs: Runs) -> None:
    """It could strike between two steps of the condition, whose lock all handlers and the engine share. Nobody would ever
    release that."""
    windows: list[Any] = []

    def handler(job: Job) -> None:
        windows.append(current_window())
        current_run().wait(60)

    runs.handlers.set("a", handler, HandlerTerms(timeout=60, interrupt=True))
    job = claimed()
    thread = threading.Thread(
        target=lambda: run(job, handler, runs.signals, 1 << 20, runs.handlers.terms, setup=runs.setup(job))
    )
    thread.start()
    until(lambda: windows and windows[0]._shut)
    assert not windows[0].interrupt()
    runs.signals.stop()
    thread.join(60)
    assert not windows[0].was_set


def test_after_a_block_that_is_uninterrupted_the_handler_is_interrupted(runs: Runs) -> None:
    ended: list[bool] = []

    def handler(job: Job) -> None:
        with uninterrupted():
            while not current_run().timed_out:
                pass
            until_then = time.monotonic() + 0.1
            while time.monotonic() < until_then:
                pass
            ended.append(current_run().timed_out)
        loops(job)

    outcome = runs.outcome_of(handler, **LONG)
    assert isinstance(outcome, Raised)
    assert outcome.error_type == "steve.TimedOut"
    assert ended == [True]
