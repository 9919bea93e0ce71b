"""RetryPolicy: the delays of "none" and "exp" to the letter, the cap, the jitter, and which arguments it refuses."""

import dataclasses
from typing import Any

import pytest

from steve import RetryPolicy

HOUR = 3600.0
YEAR = 31_536_000.0

DELAYS = [
    # policy, failed attempts, seconds
    ({"backoff_strategy": "none"}, 1, 0.0),
    ({"backoff_strategy": "none"}, 2, 0.0),
    ({"backoff_strategy": "none"}, 10_000, 0.0),
    ({"backoff_strategy": "none", "base": 7, "max_delay": 60, "jitter": 1}, 3, 0.0),
    *[({}, failures, 2.0**failures) for failures in range(1, 12)],  # 2, 4, 8 ... 2048
    ({}, 12, HOUR),  # 4096 would be more than an hour
    ({}, 13, HOUR),
    ({}, 1023, HOUR),
    ({}, 1024, HOUR),  # 2.0 ** 1024 is more than a float holds
    ({}, 10_000, HOUR),
    ({"base": 1}, 5_000, 1.0),
    ({"base": 1.5}, 2, 2.25),
    ({"base": 10}, 3, 1000.0),
    ({"base": 1000, "max_delay": YEAR}, 2, 1_000_000.0),
    ({"base": 1000, "max_delay": YEAR}, 3, YEAR),
    ({"max_delay": 0}, 1, 0.0),
    ({"max_delay": 0.5}, 9, 0.5),
    ({"max_delay": 16}, 4, 16.0),
    ({"max_delay": 16}, 5, 16.0),
]


@pytest.mark.parametrize(("policy", "failures", "seconds"), DELAYS)
def test_the_delay_follows_from_the_policy_and_the_failures(policy: dict[str, Any], failures: int, seconds: float) -> None:
    assert RetryPolicy(**policy).delay(failures) == seconds


@pytest.mark.parametrize(
    ("jitter", "chance", "factor"),
    [
        (0.0, 0.0, 1.0),
        (0.0, 1.0, 1.0),
        (0.25, 0.0, 0.75),
        (0.25, 0.25, 0.875),
        (0.25, 0.5, 1.0),
        (0.25, 1.0, 1.25),
        (1.0, 0.0, 0.0),
        (1, 1.0, 2.0),
    ],
)
def test_jitter_multiplies_the_delay_by_a_number_around_one(jitter: float, chance: float, factor: float) -> None:
    policy = RetryPolicy(jitter=jitter)
    assert policy.delay(3, chance) == 8.0 * factor
    assert policy.delay(100, chance) == HOUR * factor


def test_without_a_chance_the_delay_lies_in_the_middle_of_the_jitter() -> None:
    assert RetryPolicy(jitter=0.5).delay(4) == 16.0


def test_the_delay_depends_on_nothing_but_its_arguments() -> None:
    policy = RetryPolicy(jitter=0.5)
    assert {policy.delay(4, 0.3) for _ in range(100)} == {policy.delay(4, 0.3)}


def test_the_delays_never_fall_while_failures_grow() -> None:
    for policy in (RetryPolicy(), RetryPolicy(base=1.01), RetryPolicy(base=999.5, max_delay=YEAR), RetryPolicy(jitter=1)):
        delays = [policy.delay(failures, 0.7) for failures in range(1, 1200)]
        assert delays == sorted(delays)


class Number(int):
    """A subclass of int, as numpy's and enum's are."""


WRONG = [
    # argument, value, error
    ("max_attempts", 0, ValueError),
    ("max_attempts", -1, ValueError),
    ("max_attempts", 10_001, ValueError),
    ("max_attempts", 2**31, ValueError),
    pytest.param("max_attempts", 10**5000, ValueError, id="max_attempts-5,001 digits"),
    ("max_attempts", True, TypeError),
    ("max_attempts", "3", TypeError),
    ("max_attempts", 1.5, TypeError),
    ("max_attempts", None, TypeError),
    ("backoff_strategy", "", ValueError),
    ("backoff_strategy", "EXP", ValueError),
    ("backoff_strategy", "linear", ValueError),
    ("backoff_strategy", None, ValueError),
    ("backoff_strategy", 2, ValueError),
    ("backoff_strategy", ["exp"], ValueError),
    ("base", 0.99, ValueError),
    ("base", -2, ValueError),
    ("base", 1000.5, ValueError),
    ("base", float("nan"), ValueError),
    ("base", float("inf"), ValueError),
    pytest.param("base", 10**400, ValueError, id="base-more than a float holds"),
    ("base", "2", TypeError),
    ("base", True, TypeError),
    ("base", None, TypeError),
    ("max_delay", -0.1, ValueError),
    ("max_delay", YEAR + 1, ValueError),
    ("max_delay", float("nan"), ValueError),
    ("max_delay", float("inf"), ValueError),
    pytest.param("max_delay", 10**400, ValueError, id="max_delay-more than a float holds"),
    ("max_delay", "60", TypeError),
    ("max_delay", False, TypeError),
    ("jitter", -0.1, ValueError),
    ("jitter", 1.1, ValueError),
    ("jitter", float("nan"), ValueError),
    pytest.param("jitter", 10**400, ValueError, id="jitter-more than a float holds"),
    ("jitter", "0.1", TypeError),
    ("jitter", True, TypeError),
]


@pytest.mark.parametrize(("argument", "value", "error"), WRONG)
def test_a_wrong_argument_is_refused_by_its_name(argument: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"RetryPolicy {argument} must be") as caught:
        RetryPolicy(**{argument: value})
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_attempts": 1},
        {"max_attempts": 10_000},
        {"base": 1},
        {"base": 1000},
        {"max_delay": 0},
        {"max_delay": YEAR},
        {"jitter": 0},
        {"jitter": 1.0},
        {"base": Number(3)},
    ],
)
def test_the_limits_themselves_are_fine(arguments: dict[str, Any]) -> None:
    policy = RetryPolicy(**arguments)
    assert dataclasses.asdict(policy) == dataclasses.asdict(RetryPolicy()) | arguments


def test_the_default_is_three_attempts_and_delays_of_at_most_an_hour() -> None:
    assert RetryPolicy() == RetryPolicy(max_attempts=3, backoff_strategy="exp", base=2.0, max_delay=HOUR, jitter=0.0)


def test_it_is_a_value() -> None:
    policy = RetryPolicy(5, "none")
    assert {policy: "found"}[RetryPolicy(5, "none")] == "found"
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.max_attempts = 4  # type: ignore[misc]
    with pytest.raises(ValueError, match="max_attempts"):
        dataclasses.replace(policy, max_attempts=0)
