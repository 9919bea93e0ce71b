"""What a handler says about its job by raising one of steve's words, and what the terms of its registration say of an error."""

import logging
import os
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from steve import Cancel, Fail, Job, Retry, Snooze
from steve._engine.work.handlers import Handler, Handlers
from steve._engine.work.run import DETAILS_BYTES, MESSAGE_BYTES, run
from steve._engine.work.signals import RunSignals
from steve._model.claimed import Claimed
from steve._model.outcome import CancelRaised, Outcome, Raised, Returned, Snoozed
from steve._model.terms import HandlerTerms
from tests.rows import claimed


def outcome_of(handler: Handler, job: Claimed | None = None, **terms: Any) -> Outcome:
    said = HandlerTerms(**terms) if terms else None
    return run(job or claimed(), handler, RunSignals(), 1 << 20, lambda name: said)


def raising(error: BaseException) -> Callable[[Job], NoReturn]:
    def handler(job: Job) -> NoReturn:
        raise error

    return handler


def with_attribute(word: BaseException, name: str, value: object) -> BaseException:
    setattr(word, name, value)
    return word


WORDS: dict[str, tuple[BaseException, Outcome]] = {
    "a snooze": (Snooze(5), Snoozed(5.0)),
    "a failure": (Fail("no such file"), Raised("Fail: no such file", None, None, "steve.Fail", is_final=True)),
    "a failure for no reason": (Fail(""), Raised("Fail", None, None, "steve.Fail", is_final=True)),
    "a retry": (Retry(90), Raised("Retry", None, None, "steve.Retry", delay=90.0)),
    "a retry with a reason": (Retry(0, "busy"), Raised("Retry: busy", None, None, "steve.Retry", delay=0.0)),
    "a cancel": (Cancel("not needed"), CancelRaised("Cancelled: not needed", None)),
    "a reason that cannot be stored as it is": (
        Fail("a\x00b\ud800"),
        Raised("Fail: a\ufffdb\ufffd", None, None, "steve.Fail", True),
    ),
    "a delay that was set": (with_attribute(Retry(90), "after", 5), Raised("Retry", None, None, "steve.Retry", delay=5.0)),
}


@pytest.mark.parametrize(("word", "outcome"), WORDS.values(), ids=WORDS)
def test_a_word_is_an_outcome_without_a_traceback(word: BaseException, outcome: Outcome) -> None:
    assert outcome_of(raising(word)) == outcome


@pytest.mark.parametrize("word", [Fail("x" * 50_000), Cancel("x" * 50_000), Retry(1, "x" * 50_000)])
def test_a_long_reason_is_cut(word: BaseException) -> None:
    outcome = outcome_of(raising(word))
    assert isinstance(outcome, Raised | CancelRaised)
    assert MESSAGE_BYTES * 0.9 < len(outcome.message.encode()) <= MESSAGE_BYTES


@pytest.mark.parametrize("word", [Fail("no"), Cancel("no"), Retry(1, "no")])
@pytest.mark.parametrize("chained", [True, False])
def test_a_word_that_is_raised_because_of_an_error_brings_the_traceback(word: Any, chained: bool) -> None:
    def handler(job: Job) -> None:
        try:
            raise KeyError("missing")
        except KeyError as error:
            if chained:
                raise word from error
            raise word  # noqa: B904 - as handlers do

    outcome = outcome_of(handler)
    assert isinstance(outcome, Raised | CancelRaised)
    assert outcome.details is not None
    assert "KeyError: 'missing'" in outcome.details
    assert len(outcome.details) <= DETAILS_BYTES


def test_a_word_from_none_brings_no_traceback() -> None:
    def handler(job: Job) -> None:
        try:
            raise KeyError("missing")
        except KeyError:
            raise Fail("no") from None

    assert outcome_of(handler) == Raised("Fail: no", None, None, "steve.Fail", is_final=True)


@pytest.mark.parametrize(
    "word",
    [
        with_attribute(Retry(1), "after", -1),
        with_attribute(Retry(1), "after", "soon"),
        with_attribute(Retry(1), "reason", 5),
        with_attribute(Fail("no"), "reason", b"no"),
        with_attribute(Cancel("no"), "reason", ["no"]),
        with_attribute(Snooze(1), "seconds", None),
    ],
)
def test_a_word_that_was_spoilt_is_an_error_like_others(word: BaseException) -> None:
    outcome = outcome_of(raising(word))
    assert isinstance(outcome, Raised)
    assert outcome.message.startswith(type(word).__name__)
    assert (outcome.is_final, outcome.delay) == (False, None)


class Outer:
    class Inner(Exception):
        pass


def test_an_error_has_the_full_name_of_its_class() -> None:
    names = []
    for error in (ValueError("no"), Outer.Inner("no"), type("Odd", (Exception,), {"__module__": "a\x00b"})()):
        outcome = outcome_of(raising(error))
        assert isinstance(outcome, Raised)
        names.append(outcome.error_type)
    assert names == ["builtins.ValueError", f"{__name__}.Outer.Inner", "a\ufffdb.Odd"]


def test_a_class_that_cannot_say_its_name_has_none() -> None:
    class Meta(type):
        @property
        def __module__(cls) -> str:  # type: ignore[override]
            raise ValueError("no")

    outcome = outcome_of(raising(Meta("Odd", (Exception,), {})("no")))
    assert isinstance(outcome, Raised)
    assert outcome.error_type is None


# -- the terms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "is_final"),
    [(KeyError("no"), True), (OSError("no"), True), (ConnectionError("no"), True), (ValueError("no"), False)],
)
def test_a_handler_gives_up_on_some_errors_and_their_subclasses(error: Exception, is_final: bool) -> None:
    outcome = outcome_of(raising(error), give_up_on=(KeyError, OSError))
    assert isinstance(outcome, Raised)
    assert outcome.is_final is is_final
    assert outcome.details is not None


def test_the_delay_of_a_retry_is_asked_with_the_job_and_the_error() -> None:
    asked: list[tuple[Any, BaseException]] = []

    def retry_delay(job: Job, error: BaseException) -> float:
        asked.append((job.payload, error))
        return 7

    error = ValueError("no")
    outcome = outcome_of(raising(error), retry_delay=retry_delay)
    assert isinstance(outcome, Raised)
    assert (outcome.delay, outcome.is_final) == (7.0, False)
    assert asked == [({"n": [1]}, error)]


def test_no_delay_means_that_the_handler_gives_up() -> None:
    outcome = outcome_of(raising(ValueError("no")), retry_delay=lambda job, error: None)
    assert isinstance(outcome, Raised)
    assert outcome.is_final


def test_no_delay_is_asked_where_there_is_no_further_attempt() -> None:
    asked: list[object] = []
    terms = {"retry_delay": lambda job, error: asked.append(error), "give_up_on": KeyError}
    outcome_of(raising(ValueError("no")), claimed(attempts=3), **terms)
    outcome_of(raising(KeyError("no")), **terms)
    outcome_of(raising(Fail("no")), **terms)
    outcome_of(raising(Retry(5)), **terms)
    outcome_of(raising(Snooze(5)), **terms)
    assert outcome_of(lambda job: None, **terms) == Returned(None)
    assert asked == []


@pytest.mark.parametrize("delay", [-1, float("nan"), 31_536_001, "5", True, [5]])
def test_a_delay_that_is_none_leaves_the_policy(delay: Any, caplog: pytest.LogCaptureFixture) -> None:
    outcome = outcome_of(raising(ValueError("no")), retry_delay=lambda job, error: delay)
    assert isinstance(outcome, Raised)
    assert (outcome.delay, outcome.is_final) == (None, False)
    assert "the retry_delay of the handler for 'a' raised: " in caplog.text


@pytest.mark.parametrize("error", [RuntimeError("no delay"), SystemExit("no delay"), Snooze(5)])
def test_what_the_delay_raises_is_logged_and_leaves_the_policy(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    def retry_delay(job: Job, cause: BaseException) -> float:
        raise error

    outcome = outcome_of(raising(ValueError("no")), retry_delay=retry_delay)
    assert isinstance(outcome, Raised)
    assert (outcome.message, outcome.delay, outcome.is_final) == ("ValueError: no", None, False)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_delay_that_forks_leaves_no_second_worker() -> None:
    """The child ends where it comes back out of the user's function."""

    def retry_delay(job: Job, error: BaseException) -> float:
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[0] == child
        return 5

    parent = os.getpid()
    outcome = outcome_of(raising(ValueError("no")), retry_delay=retry_delay)
    assert os.getpid() == parent
    assert isinstance(outcome, Raised)
    assert outcome.delay == 5.0


def test_terms_come_and_go_with_their_handler() -> None:
    handlers = Handlers(None, {"plain": print})
    terms = HandlerTerms(max_attempts=5)
    handlers.add("a", print, terms)
    handlers.add("b", print, HandlerTerms())
    assert (handlers.terms("a"), handlers.terms("b"), handlers.terms("plain")) == (terms, None, None)
    handlers.set("a", print)
    assert handlers.terms("a") is None
    handlers.set("a", print, terms)
    assert handlers.terms("a") == terms
    with pytest.raises(ValueError, match="has a handler already"):
        handlers.add("a", print, HandlerTerms(max_attempts=7))
    assert handlers.terms("a") == terms
    handlers.set("a", None)
    assert handlers.terms("a") is None
    handlers.set("a", print, terms)
    handlers.clear()
    assert handlers.terms("a") is None
