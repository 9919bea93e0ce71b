"""A request becomes jobs to insert: names, numbers, times and policies checked, the defaults merged, a uid made.

What cannot be stored, argument by argument and with a database behind it: tests/behaviour/test_bad_input.py.
"""

import itertools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import Enum, StrEnum
from typing import Any
from uuid import RFC_4122
from zoneinfo import ZoneInfo

import pytest

from steve import InvalidJob, NewJob, RetryPolicy, Status
from steve._client.enqueue import as_job, checked, checked_many
from steve._database.statements.jobs import Insert
from steve._model.settings import Settings

RETRY = RetryPolicy(max_attempts=7, backoff_strategy="exp", base=3.0, max_delay=60.0, jitter=0.5)
SETTINGS = Settings(retry=RETRY, max_payload_bytes=100)
OTHER = RetryPolicy(max_attempts=2, backoff_strategy="none", base=5.0, max_delay=9.0, jitter=0.25)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Kind(StrEnum):
    MAIL = "mail"


class OldKind(str, Enum):  # noqa: UP042 - what StrEnum was before Python 3.11
    MAIL = "mail"
    EXP = "exp"


class Text(str):
    """Shows another text than it is."""

    def __str__(self) -> str:
        return "shown"


def enqueue(type: Any = "a", payload: Any = None, **more: Any) -> Insert:
    return checked(NewJob(type, payload, **more), SETTINGS)


def policy(insert: Insert) -> tuple[Any, ...]:
    return insert.terms[3:8]


def test_what_a_job_leaves_open_is_the_managers_or_the_default() -> None:
    insert = enqueue()
    assert {"payload": insert.payload} | insert.terms._asdict() == {
        "queue": "default",
        "type": "a",
        "priority": 0,
        "payload": "{}",
        "max_attempts": 7,
        "backoff_strategy": "exp",
        "backoff_base": 3.0,
        "backoff_max": 60.0,
        "backoff_jitter": 0.5,
        "run_at": None,
        "options": None,
    }


@pytest.mark.parametrize(
    ("arguments", "stored"),
    [
        ({}, (7, "exp", 3.0, 60.0, 0.5)),
        ({"max_attempts": 1}, (1, "exp", 3.0, 60.0, 0.5)),
        ({"max_attempts": 10_000}, (10_000, "exp", 3.0, 60.0, 0.5)),
        ({"backoff_strategy": "none"}, (7, "none", 3.0, 60.0, 0.5)),
        ({"backoff_strategy": "exp"}, (7, "exp", 3.0, 60.0, 0.5)),
        ({"backoff_strategy": "none", "max_attempts": 4}, (4, "none", 3.0, 60.0, 0.5)),
        ({"backoff_strategy": OTHER}, (2, "none", 5.0, 9.0, 0.25)),
        ({"backoff_strategy": OTHER, "max_attempts": 4}, (4, "none", 5.0, 9.0, 0.25)),
    ],
)
def test_the_jobs_own_attempts_and_delays_go_before_the_managers(arguments: dict[str, Any], stored: tuple[Any, ...]) -> None:
    assert policy(enqueue(**arguments)) == stored


@pytest.mark.parametrize("name", [Kind.MAIL, OldKind.MAIL, Text("mail")], ids=["StrEnum", "str and Enum", "subclass"])
def test_a_name_of_a_subclass_of_str_is_stored_as_the_text_it_is(name: str) -> None:
    insert = enqueue(name, queue=name)
    assert (insert.terms.type, insert.terms.queue) == ("mail", "mail")
    assert type(insert.terms.type) is type(insert.terms.queue) is str


@pytest.mark.parametrize("strategy", [OldKind.EXP, RetryPolicy(backoff_strategy=OldKind.EXP)], ids=["by name", "in a policy"])
def test_a_strategy_of_a_subclass_of_str_is_stored_as_the_text_it_is(strategy: Any) -> None:
    stored = enqueue(backoff_strategy=strategy).terms.backoff_strategy
    assert (str(stored), type(stored)) == ("exp", str)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (None, "{}"),
        ({}, "{}"),
        ({"a": (1, None)}, '{"a":[1,null]}'),
        ({"é": "🚀"}, '{"é":"🚀"}'),
        ({"b": 1, "a": 2}, '{"b":1,"a":2}'),
    ],
)
def test_a_payload_becomes_short_json(payload: Any, text: str) -> None:
    assert enqueue("a", payload).payload == text


@pytest.mark.parametrize(
    ("payload", "size"),
    [
        ({"a": "x" * 92}, 100),
        ({"a": "x" * 93}, 101),
        ({"a": "é" * 46}, 100),  # of two bytes each
        ({"a": "é" * 46 + "x"}, 101),
        ({"a": "🚀" * 23}, 100),
        ({"a": '"' * 46}, 100),  # as JSON has them
        ({"a": list(range(40))}, 117),
        (defaultdict(str, a="x" * 1_000), 1008),
    ],
    ids=str,
)
def test_a_payload_has_no_more_bytes_as_json_than_the_limit(payload: Any, size: int) -> None:
    if size <= SETTINGS.max_payload_bytes:
        assert len(enqueue(payload=payload).payload.encode()) == size
        return
    with pytest.raises(InvalidJob) as caught:
        enqueue(payload=payload)
    assert str(caught.value) == f"payload has {size} bytes as JSON, more than max_payload_bytes=100"
    for jobs in ([("a", None), ("a", payload)], [NewJob("a"), NewJob("a", payload)]):
        with pytest.raises(InvalidJob) as caught:
            checked_many(jobs, NewJob("unused"), SETTINGS)
        assert str(caught.value) == f"jobs[1]: payload has {size} bytes as JSON, more than max_payload_bytes=100"


class Berlin(tzinfo):
    """A user's own time zone, an hour ahead."""

    def utcoffset(self, at: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, at: datetime | None) -> timedelta:
        return timedelta(0)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, None),
        (NOON, NOON),
        (datetime(2030, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))), NOON),
        (datetime(2030, 1, 1, 13, tzinfo=ZoneInfo("Europe/Berlin")), NOON),
        (datetime(2030, 1, 1, 13, tzinfo=Berlin()), NOON),
        (datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 3, tzinfo=UTC)),
        (datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_an_instant_is_stored_in_utc(given: datetime | None, stored: datetime | None) -> None:
    at = enqueue(run_at=given).terms.run_at
    assert at == stored
    assert at is None or at.tzinfo is UTC


def test_an_instant_before_the_first_one_in_utc_is_past_and_fine() -> None:
    enqueue(run_at=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))


class Broken(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, at: datetime | None) -> timedelta:
        raise LookupError("no offset")


class Unshowable:
    """Whatever is asked of it, it raises."""

    def __repr__(self) -> str:
        raise LookupError("no repr")

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        raise LookupError("no format")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    # arguments, how the message begins
    "run_at: a date": ({"run_at": date(2030, 1, 1)}, "run_at must be an aware datetime, not date"),
    "run_at: seconds": ({"run_at": time.time()}, "run_at must be an aware datetime, not float"),
    "run_at: a delay": ({"run_at": timedelta(seconds=1)}, "run_at must be an aware datetime, not timedelta"),
    "run_at: the first day of 9999": ({"run_at": datetime(9999, 1, 1, tzinfo=UTC)}, "run_at must lie before the year 9999"),
    "run_at: beyond the last instant": (
        {"run_at": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))},
        "run_at must lie before the year 9999",
    ),
    "run_at: a time zone that raises": ({"run_at": datetime(2030, 1, 1, tzinfo=Broken())}, "run_at"),
    "max_attempts: 5,001 digits": ({"max_attempts": 10**5000}, "max_attempts must be an int of 1 to 10000"),
    "max_attempts: cannot be shown": ({"max_attempts": Unshowable()}, "max_attempts must be an int of 1 to 10000"),
    "priority: 5,001 digits": ({"priority": 10**5000}, "priority must be an int of -100 to 100"),
    "priority: cannot be shown": ({"priority": Unshowable()}, "priority must be an int of -100 to 100"),
    "backoff_strategy: 5,001 digits": ({"backoff_strategy": 10**5000}, "backoff_strategy must be"),
    "backoff_strategy: cannot be shown": ({"backoff_strategy": Unshowable()}, "backoff_strategy must be"),
    "type: cannot be shown": ({"type": Unshowable()}, "type must be a str, not Unshowable"),
    "queue: cannot be shown": ({"queue": Unshowable()}, "queue must be a str, not Unshowable"),
    "payload: cannot be shown": ({"payload": {"a": Unshowable()}}, 'payload["a"] is a Unshowable'),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_an_argument_that_is_hard_to_show_is_refused_like_any_other(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        enqueue(**arguments)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 300


class Odd(dict[str, Any]):
    """`items()` shows others than it has: those that `shows` returns."""

    shows: Callable[[], Any] = list

    def items(self) -> Any:
        return self.shows()


class OddList(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([float("nan")])


def odd(shows: Callable[[], Any]) -> Odd:
    payload = Odd(a=1)
    payload.shows = shows
    return payload


def twofold() -> Odd:
    """Storable at the first look, with a NaN at the second."""
    looks = iter([[("a", 1)], [("a", float("nan"))]])
    return odd(lambda: next(looks))


def growing() -> Odd:
    """Like a dict that another thread fills meanwhile."""
    payload = {"a": 1}
    return odd(lambda: (payload.update({str(len(payload)): 1}) or item for item in payload.items()))


ODD: dict[str, Callable[[], Any]] = {
    "raises": lambda: odd(lambda: 1 // 0),
    "raises what is no Exception": lambda: odd(lambda: sys.exit(3)),
    "no items": lambda: odd(lambda: 5),
    "no pairs": lambda: odd(lambda: ["abc"]),
    "a key that is a tuple": lambda: odd(lambda: [((1,), 2)]),
    "a key that is a number": lambda: odd(lambda: [(1, 2)]),
    "another when looked at again": twofold,
    "changed while it is looked at": growing,
    "a list that shows a NaN": lambda: OddList(["sound"]),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_a_payload_of_an_odd_class_is_refused_or_stored_as_json(make: Callable[[], Any]) -> None:
    try:
        insert = enqueue("a", {"a": make()})
    except (InvalidJob, SystemExit):  # an exit is passed on
        return
    json.loads(insert.payload, parse_constant=pytest.fail)  # NaN and such are no JSON


def test_a_job_of_many_takes_from_the_defaults_what_it_leaves_open() -> None:
    defaults = NewJob("unused", None, 4, OTHER, NOON, "mail", 9)
    pair, bare, own = checked_many(
        [("a", {"n": 1}), NewJob("b"), NewJob("c", {"n": 3}, 5, "exp", NOON + timedelta(days=1), "other", -1)],
        defaults,
        SETTINGS,
    )
    assert (pair.terms.type, pair.payload, pair.terms.queue, pair.terms.priority, pair.terms.run_at) == (
        "a",
        '{"n":1}',
        "mail",
        9,
        NOON,
    )
    assert (bare.terms.type, bare.payload, bare.terms.queue, bare.terms.priority, bare.terms.run_at) == (
        "b",
        "{}",
        "mail",
        9,
        NOON,
    )
    assert (own.terms.type, own.payload, own.terms.queue, own.terms.priority) == ("c", '{"n":3}', "other", -1)
    assert own.terms.run_at == NOON + timedelta(days=1)
    assert policy(pair) == policy(bare) == (4, "none", 5.0, 9.0, 0.25)
    assert policy(own) == (5, "exp", 3.0, 60.0, 0.5)
    assert len({pair.uid, bare.uid, own.uid}) == 3


@pytest.mark.parametrize(
    "jobs",
    [
        [("a", None), ("b", {})],
        (("a", {}), ["b", None]),
        (pair for pair in (("a", {}), ("b", None))),
        {"a": None, "b": {}}.items(),
        map(NewJob, ["a", "b"]),
    ],
    ids=["list", "tuple", "generator", "items", "map"],
)
def test_many_jobs_come_from_any_iterable(jobs: Any) -> None:
    assert [insert.terms.type for insert in checked_many(jobs, NewJob("unused"), SETTINGS)] == ["a", "b"]


def test_no_jobs_are_fine_but_their_defaults_are_checked() -> None:
    assert checked_many([], NewJob("unused"), SETTINGS) == []
    with pytest.raises(InvalidJob, match=r"^priority must be"):
        checked_many([], NewJob("unused", priority=101), SETTINGS)


def test_an_error_of_the_iterable_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        checked_many((("a", {"n": 1 // n}) for n in (1, 0)), NewJob("unused"), SETTINGS)


def test_a_uid_is_a_uuid_of_version_7_that_says_when_it_was_made() -> None:
    before, uid, after = time.time_ns() // 1_000_000, enqueue().uid, time.time_ns() // 1_000_000
    assert uid.version == 7
    assert uid.variant == RFC_4122
    assert before <= uid.int >> 80 <= after


def test_uids_are_in_the_order_of_time_and_never_the_same() -> None:
    uids = [enqueue().uid for _ in range(1_000)]
    assert len(set(uids)) == 1_000
    stamps = [uid.int >> 64 for uid in uids]  # without the second half, which is random
    assert all(earlier <= later for earlier, later in itertools.pairwise(stamps))


@pytest.mark.parametrize(
    "clock",
    [time.time_ns, lambda: 1_800_000_000_000_000_000, itertools.count(2**60, -(10**9)).__next__],
    ids=["the real one", "it stands still", "it runs backwards"],
)
def test_the_uids_of_many_jobs_ascend_whatever_the_clock_does(clock: Callable[[], int]) -> None:
    uids = [insert.uid for insert in checked_many([("a", None)] * 10_000, NewJob("unused"), SETTINGS, clock=clock)]
    stamps = [uid.int >> 64 for uid in uids]
    assert all(earlier < later for earlier, later in itertools.pairwise(stamps))
    assert {uid.version for uid in uids} == {7}
    assert {uid.variant for uid in uids} == {RFC_4122}


def test_the_job_that_is_returned_has_what_the_database_added() -> None:
    insert = enqueue("a", {"n": (1,)}, queue="mail", priority=3, backoff_strategy=OTHER)
    job = as_job(insert, NOON, NOON + timedelta(minutes=1), NOON + timedelta(hours=1))
    assert (job.uid, job.type, job.queue, job.priority) == (insert.uid, "a", "mail", 3)
    assert (job.payload, job.result, job.error) == ({"n": [1]}, None, None)
    assert (job.status, job.attempts, job.crashes) == (Status.PENDING, 0, 0)
    assert (job.max_attempts, job.backoff_strategy) == (2, "none")
    assert (job.created_at, job.updated_at) == (NOON, NOON + timedelta(minutes=1))
    assert job.run_at == NOON + timedelta(hours=1)
    assert (job.claimed_at, job.started_at, job.completed_at) == (None, None, None)
