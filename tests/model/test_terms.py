"""What may be said about a type of jobs when its handler is registered."""

from datetime import timedelta
from typing import Any

import pytest

from steve import RetryPolicy
from steve._model.terms import HandlerTerms


@pytest.mark.parametrize("given", [ValueError, (ValueError,), [ValueError], (ValueError, OSError), (BaseException,), ()])
def test_a_handler_may_give_up_on_classes_of_exceptions(given: Any) -> None:
    expected = given if isinstance(given, tuple) else tuple(given) if isinstance(given, list) else (given,)
    assert HandlerTerms(give_up_on=given).give_up_on == expected


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"retry_delay": lambda job, error: 1.0},
        {"max_attempts": 1},
        {"max_attempts": 10_000},
        {"backoff_strategy": "none"},
        {"backoff_strategy": RetryPolicy(5)},
        {"queue": "mail"},
        {"priority": -100},
        {"priority": 100},
        {"timeout": 0.001},
        {"interrupt": True},
    ],
)
def test_terms_that_are_allowed(terms: dict[str, Any]) -> None:
    made = HandlerTerms(**terms)
    assert all(getattr(made, name) == value for name, value in terms.items())


@pytest.mark.parametrize(
    ("terms", "error", "message"),
    [
        ({"give_up_on": "ValueError"}, TypeError, "give_up_on must be a tuple of exception classes, and 'ValueError' is none"),
        ({"give_up_on": (ValueError, int)}, TypeError, "give_up_on must be"),
        ({"give_up_on": ValueError("no")}, TypeError, "give_up_on must be"),
        ({"give_up_on": None}, TypeError, "give_up_on must be"),
        ({"retry_delay": 5}, TypeError, "retry_delay must be callable, not int"),
        ({"max_attempts": 0}, ValueError, "max_attempts must be between 1 and 10000, not 0"),
        ({"max_attempts": 10_001}, ValueError, "max_attempts must be"),
        ({"max_attempts": True}, TypeError, "max_attempts must be an int, not bool"),
        ({"max_attempts": "3"}, TypeError, "max_attempts must be an int, not str"),
        ({"backoff_strategy": "linear"}, ValueError, 'backoff_strategy must be "none", "exp" or a RetryPolicy'),
        ({"backoff_strategy": 5}, TypeError, "backoff_strategy must be"),
        ({"queue": ""}, ValueError, "queue must have 1 to 255 characters"),
        ({"queue": 5}, TypeError, "queue must be a str, not int"),
        ({"queue": " mail"}, ValueError, "queue must not begin or end with a blank"),
        ({"priority": 101}, ValueError, "priority must be between -100 and 100, not 101"),
        ({"priority": 1.0}, TypeError, "priority must be an int, not float"),
        ({"timeout": 0}, ValueError, "timeout must be at least 0.001 s, not 0"),
        ({"timeout": -1}, ValueError, "timeout must be between 0 and"),
        ({"timeout": float("nan")}, ValueError, "timeout must be between 0 and"),
        ({"timeout": "30"}, TypeError, "timeout must be seconds or a datetime.timedelta, not str"),
        ({"timeout": True}, TypeError, "timeout must be seconds or a datetime.timedelta, not bool"),
        ({"interrupt": 1}, TypeError, "interrupt must be True or False, not int"),
        ({"interrupt": None}, TypeError, "interrupt must be True or False, not NoneType"),
        ({"timeouts": 1.0}, TypeError, "timeouts"),
    ],
)
def test_terms_that_are_not(terms: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        HandlerTerms(**terms)


def test_a_timeout_may_be_a_timedelta() -> None:
    assert HandlerTerms(timeout=timedelta(minutes=2)).timeout == 120.0  # type: ignore[arg-type]
