"""The tree of exceptions, and the arguments of a handler's words."""

import pickle
import traceback
from typing import Any
from uuid import UUID

import pytest

import steve
from steve import (
    AlreadyExists,
    Cancel,
    Cancelled,
    Crashed,
    Expired,
    Fail,
    InvalidJob,
    JobCancelled,
    JobFailed,
    JobGone,
    NotPossible,
    NotRunning,
    OutcomeUnknown,
    Retry,
    SchemaError,
    Snooze,
    SteveError,
    TimedOut,
    Unavailable,
)
from steve._model.outcome import CANCELLED, CRASHED, EXPIRED
from tests.waits.test_book import A, job

YEAR = 31_536_000


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (SteveError, (Exception,)),
        (InvalidJob, (SteveError, ValueError)),
        (AlreadyExists, (SteveError,)),
        (SchemaError, (SteveError,)),
        (NotRunning, (SteveError,)),
        (JobFailed, (SteveError,)),
        (JobCancelled, (SteveError,)),
        (JobGone, (SteveError, LookupError)),
        (Unavailable, (SteveError,)),
        (OutcomeUnknown, (SteveError,)),
        (Snooze, (BaseException,)),
        (Retry, (BaseException,)),
        (Fail, (BaseException,)),
        (Cancel, (BaseException,)),
        (Cancelled, (Exception,)),
        (Expired, (Exception,)),
        (Crashed, (Exception,)),
        (TimedOut, (Exception,)),
    ],
)
def test_each_error_has_its_place_in_the_tree(error: type[BaseException], parents: tuple[type, ...]) -> None:
    bases = [base.__bases__ if base.__name__.startswith("_") else (base,) for base in error.__bases__]
    assert sum(bases, ()) == parents


def test_a_traceback_names_what_users_import() -> None:
    assert traceback.format_exception_only(InvalidJob("no")) == ["steve.InvalidJob: no\n"]
    assert traceback.format_exception_only(Snooze(5)) == ["steve.Snooze: 5\n"]


def test_a_job_whose_outcome_is_unknown_can_be_looked_up() -> None:
    assert OutcomeUnknown("no", UUID(int=7)).uid == UUID(int=7)
    assert OutcomeUnknown("no").uid is None
    assert str(OutcomeUnknown("no", UUID(int=7))) == "no"


@pytest.mark.parametrize(
    "error",
    [
        SteveError("no"), InvalidJob("no"), SchemaError("no"), NotRunning("no"), Unavailable("no"), Snooze(5),
        Retry(5), Retry(5, "why"), Fail("why"), Cancel("why"),
        JobFailed("no", job(A)), JobCancelled("no", job(A)), JobGone("no"),
        NotPossible("no", job(A)), AlreadyExists("no", job(A)),
    ],
)  # fmt: skip
def test_errors_can_be_pickled(error: BaseException) -> None:
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert twin.args == error.args


@pytest.mark.parametrize(("name", "kind"), [(CANCELLED, Cancelled), (EXPIRED, Expired), (CRASHED, Crashed)])
def test_what_the_log_calls_an_attempt_that_no_handler_ended_can_be_imported(name: str, kind: type[Exception]) -> None:
    assert name == f"{kind.__module__}.{kind.__qualname__}"
    assert getattr(steve, name.removeprefix("steve.")) is kind


@pytest.mark.parametrize("seconds", [0, 0.0, 1, 0.25, 1e-9, YEAR, float(YEAR)])
def test_a_snooze_takes_from_no_time_to_a_year(seconds: float) -> None:
    assert Snooze(seconds).seconds == seconds
    assert type(Snooze(seconds).seconds) is float


NO_DELAYS = pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (-1, ValueError),
        (-1e-9, ValueError),
        (YEAR + 1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (-float("inf"), ValueError),
        pytest.param(10**400, ValueError, id="more than a float holds"),
        (None, TypeError),
        ("5", TypeError),
        (True, TypeError),
        ([5], TypeError),
        (5j, TypeError),
    ],
)


@NO_DELAYS
def test_a_snooze_for_anything_else_is_refused(seconds: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"Snooze\(seconds\) must be"):
        Snooze(seconds)


@NO_DELAYS
def test_a_retry_after_anything_else_is_refused(seconds: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"Retry\(after\) must be"):
        Retry(seconds)


def test_a_retry_says_when_and_may_say_why() -> None:
    assert (Retry(5).after, Retry(5).reason) == (5.0, None)
    assert (Retry(0.5, "busy").after, Retry(0.5, reason="busy").reason) == (0.5, "busy")


@pytest.mark.parametrize("reason", [None, 5, b"why", ["why"], ValueError("why")])
@pytest.mark.parametrize("word", [Fail, Cancel])
def test_a_reason_is_a_text(word: Any, reason: Any) -> None:
    with pytest.raises(TypeError, match=rf"{word.__name__}\(reason\) must be a str, not {type(reason).__name__}"):
        word(reason)
    if reason is not None:
        with pytest.raises(TypeError, match=r"Retry\(after, reason\) must be a str"):
            Retry(5, reason)


@pytest.mark.parametrize("word", [Snooze(5), Retry(5), Fail("why"), Cancel("why")])
def test_a_handlers_own_except_exception_does_not_catch_its_words(word: BaseException) -> None:
    with pytest.raises(type(word)):
        try:
            raise word
        except Exception:  # pragma: no cover
            pytest.fail("caught")
