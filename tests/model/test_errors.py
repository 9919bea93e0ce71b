"""The tree of exceptions, and Snooze's arguments."""

import pickle
import traceback
from typing import Any
from uuid import UUID

import pytest

from steve import AlreadyExists, InvalidJob, NotRunning, OutcomeUnknown, SchemaError, Snooze, SteveError, Unavailable

YEAR = 31_536_000


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (SteveError, (Exception,)),
        (InvalidJob, (SteveError, ValueError)),
        (AlreadyExists, (SteveError,)),
        (SchemaError, (SteveError,)),
        (NotRunning, (SteveError,)),
        (Unavailable, (SteveError,)),
        (OutcomeUnknown, (SteveError,)),
        (Snooze, (BaseException,)),
    ],
)
def test_each_error_has_its_place_in_the_tree(error: type[BaseException], parents: tuple[type, ...]) -> None:
    assert error.__bases__ == parents


def test_a_traceback_names_what_users_import() -> None:
    assert traceback.format_exception_only(InvalidJob("no")) == ["steve.InvalidJob: no\n"]
    assert traceback.format_exception_only(Snooze(5)) == ["steve.Snooze: 5\n"]


def test_a_job_whose_outcome_is_unknown_can_be_looked_up() -> None:
    assert OutcomeUnknown("no", UUID(int=7)).uid == UUID(int=7)
    assert OutcomeUnknown("no").uid is None
    assert str(OutcomeUnknown("no", UUID(int=7))) == "no"


@pytest.mark.parametrize(
    "error", [SteveError("no"), InvalidJob("no"), SchemaError("no"), NotRunning("no"), Unavailable("no"), Snooze(5)]
)
def test_errors_can_be_pickled(error: BaseException) -> None:
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert twin.args == error.args


@pytest.mark.parametrize("seconds", [0, 0.0, 1, 0.25, 1e-9, YEAR, float(YEAR)])
def test_a_snooze_takes_from_no_time_to_a_year(seconds: float) -> None:
    assert Snooze(seconds).seconds == seconds
    assert type(Snooze(seconds).seconds) is float


@pytest.mark.parametrize(
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
def test_a_snooze_for_anything_else_is_refused(seconds: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"Snooze\(seconds\) must be"):
        Snooze(seconds)


def test_a_handlers_own_except_exception_does_not_catch_a_snooze() -> None:
    with pytest.raises(Snooze):
        try:
            raise Snooze(5)
        except Exception:  # pragma: no cover
            pytest.fail("caught")
