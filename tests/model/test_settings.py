"""Settings: which keywords of a manager are right, and what is wrong with the others."""

from enum import Enum, StrEnum
from typing import Any

import pytest

from steve import RetryPolicy
from steve._model.settings import Settings


class Text(str):
    """A subclass of str."""


class Queue(StrEnum):
    MAIL = "mail"


class OldQueue(str, Enum):  # noqa: UP042 - what StrEnum was before Python 3.11
    MAIL = "mail"


def test_the_defaults_are_fine() -> None:
    assert Settings() == Settings(schema="steve", poll_interval=1.0)


WRONG: dict[str, tuple[str, Any, type[Exception], str]] = {
    # keyword, value, error, a part of its message
    "schema: none": ("schema", None, TypeError, "schema must be a str, not NoneType"),
    "schema: bytes": ("schema", b"steve", TypeError, "schema must be a str, not bytes"),
    "schema: int": ("schema", 5, TypeError, "schema must be a str, not int"),
    "schema: empty": ("schema", "", ValueError, "schema must be 1 to 63 bytes"),
    "schema: 64 bytes": ("schema", "s" * 64, ValueError, "not 64"),
    "schema: 64 bytes, 16 characters": ("schema", "🚀" * 16, ValueError, "not 64"),
    "schema: pg_": ("schema", "pg_steve", ValueError, 'must not begin with "pg_"'),
    "schema: pg_catalog": ("schema", "pg_catalog", ValueError, 'must not begin with "pg_"'),
    "schema: NUL": ("schema", "a\x00b", ValueError, "schema contains a NUL"),
    "schema: lone surrogate": ("schema", "a\ud800", ValueError, "schema contains a NUL character or a lone surrogate"),
    "queues: a name": ("queues", "default", TypeError, 'queues must be a list of names such as ["default"]'),
    "queues: int": ("queues", 5, TypeError, "queues must be a list of names"),
    "queues: empty": ("queues", [], ValueError, "queues is empty"),
    "queues: an empty name": ("queues", ["a", ""], ValueError, "queues: a queue's name must have 1 to 255"),
    "queues: 256 characters": ("queues", ["a" * 256], ValueError, "queues: a queue's name must have 1 to 255"),
    "queues: a NUL": ("queues", ["a\x00"], ValueError, "queues: a queue's name must not contain control"),
    "queues: an int inside": ("queues", [1], TypeError, "queues: a queue's name must be a str, not int"),
    "queues: None inside": ("queues", [None], TypeError, "queues: a queue's name must be a str, not NoneType"),
    "queues: bytes": ("queues", b"ab", TypeError, "queues"),
    "heartbeat: zero": ("heartbeat", 0, ValueError, "heartbeat must be between 0.1 and 28800 seconds, not 0"),
    "heartbeat: None": ("heartbeat", None, TypeError, "heartbeat must be a number of seconds, not NoneType"),
    "lease: a bool": ("lease", True, TypeError, "lease must be a number of seconds, not bool"),
    "lease: NaN": ("lease", float("nan"), ValueError, "lease must be between 0.3 and 86400 seconds"),
    "lease: less than three heartbeats": (
        "lease",
        14.9,
        ValueError,
        "lease must be at least three heartbeats of 5 s, not 14.9",
    ),
    "timeout: zero": ("timeout", 0, ValueError, "timeout must be at least 0.001 s, not 0"),
    "timeout: negative": ("timeout", -1, ValueError, "timeout must be between 0 and"),
    "timeout: infinite": ("timeout", float("inf"), ValueError, "timeout must be between 0 and"),
    "timeout: text": ("timeout", "30", TypeError, "timeout must be seconds or a datetime.timedelta, not str"),
    "stuck_after: zero": ("stuck_after", 0, ValueError, "stuck_after must be between 0.05 and 86400 seconds, not 0"),
    "stuck_after: None": ("stuck_after", None, TypeError, "stuck_after must be a number of seconds, not NoneType"),
    "max_crashes: zero": ("max_crashes", 0, ValueError, "max_crashes must be between 1 and 10000, not 0"),
    "max_crashes: too many": ("max_crashes", 10_001, ValueError, "max_crashes must be between 1 and 10000"),
    "max_crashes: a bool": ("max_crashes", True, TypeError, "max_crashes must be an int, not bool"),
    "max_crashes: a float": ("max_crashes", 3.0, TypeError, "max_crashes must be an int, not float"),
    "poll_interval: zero": ("poll_interval", 0, ValueError, "poll_interval must be between 0.05 and 3600"),
    "poll_interval: negative": ("poll_interval", -1, ValueError, "poll_interval must be between"),
    "poll_interval: too small": ("poll_interval", 0.04, ValueError, "poll_interval must be between"),
    "poll_interval: too large": ("poll_interval", 3601, ValueError, "poll_interval must be between"),
    "poll_interval: NaN": ("poll_interval", float("nan"), ValueError, "poll_interval must be between"),
    "poll_interval: infinite": ("poll_interval", float("inf"), ValueError, "poll_interval must be between"),
    "poll_interval: more than a float holds": ("poll_interval", 10**400, ValueError, "poll_interval must be between"),
    "poll_interval: text": ("poll_interval", "1", TypeError, "poll_interval must be a number of seconds, not str"),
    "poll_interval: True": ("poll_interval", True, TypeError, "poll_interval must be a number of seconds, not bool"),
    "poll_interval: None": ("poll_interval", None, TypeError, "poll_interval must be a number of seconds"),
    "create_timeout: zero": ("create_timeout", 0, ValueError, "create_timeout must be between 0.05 and 3600"),
    "create_timeout: negative": ("create_timeout", -1, ValueError, "create_timeout must be between"),
    "create_timeout: too small": ("create_timeout", 0.04, ValueError, "create_timeout must be between"),
    "create_timeout: too large": ("create_timeout", 3601, ValueError, "create_timeout must be between"),
    "create_timeout: NaN": ("create_timeout", float("nan"), ValueError, "create_timeout must be between"),
    "create_timeout: infinite": ("create_timeout", float("inf"), ValueError, "create_timeout must be between"),
    "create_timeout: more than a float holds": ("create_timeout", 10**400, ValueError, "create_timeout must be between"),
    "create_timeout: text": ("create_timeout", "1", TypeError, "create_timeout must be a number of seconds, not str"),
    "create_timeout: True": ("create_timeout", True, TypeError, "create_timeout must be a number of seconds, not bool"),
    "create_timeout: None": ("create_timeout", None, TypeError, "create_timeout must be a number of seconds"),
    "retry: None": ("retry", None, TypeError, "retry must be a RetryPolicy, not NoneType"),
    "retry: a strategy": ("retry", "exp", TypeError, "retry must be a RetryPolicy, not str"),
    "retry: the class": ("retry", RetryPolicy, TypeError, "retry must be a RetryPolicy, not type"),
    "notify: None": ("notify", None, TypeError, "notify must be True or False, not NoneType"),
    "notify: one": ("notify", 1, TypeError, "notify must be True or False, not int"),
    "notify: text": ("notify", "yes", TypeError, "notify must be True or False, not str"),
    **{
        f"{keyword}: {value!r}": (keyword, value, error, f"{keyword} must be {message}")
        for keyword in ("max_payload_bytes", "max_result_bytes")
        for value, error, message in (
            (None, TypeError, "an int, not NoneType"),
            (True, TypeError, "an int, not bool"),
            (1024.0, TypeError, "an int, not float"),
            ("1024", TypeError, "an int, not str"),
            (0, ValueError, "between 2 and 268435456, not 0"),
            (1, ValueError, "between 2 and"),
            (-1024, ValueError, "between 2 and"),
            (2**28 + 1, ValueError, "between 2 and"),
        )
    },
}


@pytest.mark.parametrize(("keyword", "value", "error", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_keyword_is_refused_by_its_name(keyword: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        Settings(**{keyword: value})
    assert type(caught.value) is error
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "schema",
    [
        "s",
        "s" * 63,
        "🚀" * 15 + "abc",
        'Ten ant"x',
        "a%b",
        "%s",
        "a.b; drop table x --",
        " ",
        "select",
        "p",
        "PG_x",
        "apg_",
        "\t\n",
        Text("steve"),
    ],
)
def test_a_schema_may_have_any_other_name(schema: str) -> None:
    assert Settings(schema=schema).schema == schema


@pytest.mark.parametrize(
    ("queues", "kept"),
    [
        (["a"], ("a",)),
        (("a", "b"), ("a", "b")),
        ({"a": 1}, ("a",)),
        ({"a"}, ("a",)),
        ((name for name in "ab"), ("a", "b")),
        ([Queue.MAIL, OldQueue.MAIL, Text("mail")], ("mail", "mail", "mail")),
    ],
    ids=["list", "tuple", "dict", "set", "generator", "subclasses of str"],
)
def test_queues_may_be_any_iterable_of_names(queues: Any, kept: tuple[str, ...]) -> None:
    assert Settings(queues=queues).queues == kept


@pytest.mark.parametrize("seconds", [0.05, 1, 3600])
def test_the_limits_of_the_poll_are_fine(seconds: float) -> None:
    assert Settings(poll_interval=seconds).poll_interval == seconds
    assert type(Settings(poll_interval=seconds).poll_interval) is float


def test_settings_are_a_value() -> None:
    assert hash(Settings(queues=["a"])) == hash(Settings(queues=("a",)))
    with pytest.raises(AttributeError):
        Settings().schema = "other"  # type: ignore[misc]
