"""Running one handler always gives an Outcome, whatever it raises or returns, with a message and details that can be stored.

There is no database here. tests/behaviour/test_outcomes.py goes through the tables RAISES, RETURNS and UNSTORABLE with one.
"""

import asyncio
import contextvars
import dataclasses
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn

import pytest

from steve import Job, NotRunning, Run, Snooze, Status, current_run
from steve._engine.work.handlers import Handler
from steve._engine.work.run import DETAILS_BYTES, MESSAGE_BYTES, run
from steve._engine.work.signals import RunSignals
from steve._model.claimed import Claimed
from steve._model.json import decode
from steve._model.outcome import Outcome, Raised, Returned, Snoozed, Unusable
from tests.rows import NOON, claimed

CLAIMED = claimed()


def outcome_of(
    handler: Handler, job: Claimed = CLAIMED, signals: RunSignals | None = None, max_result_bytes: int = 1 << 20
) -> Outcome:
    return run(job, handler, signals or RunSignals(), max_result_bytes)


# -- what a handler may raise -------------------------------------------------------------------------------------------


def raising(make: Callable[[], BaseException]) -> Handler:
    def handler(job: Job) -> NoReturn:
        raise make()

    return handler


def error_class(**attributes: Any) -> type[Exception]:
    return type("Odd", (Exception,), attributes)


def method_raising(make: Callable[[], BaseException]) -> Callable[..., NoReturn]:
    def method(*arguments: object) -> NoReturn:
        raise make()

    return method


class Unshowable:
    __repr__ = __str__ = method_raising(lambda: ValueError("no repr"))


class UnformattableText(str):
    __format__ = method_raising(lambda: ValueError("no format"))


def recursive(job: Job) -> Any:
    return recursive(job)


def out_of_memory(job: Job) -> Any:
    return bytearray(1 << 62)


def group(job: Job) -> NoReturn:
    raise ExceptionGroup("many", [ValueError(str(n)) for n in range(10_000)])


def nested_groups(job: Job) -> NoReturn:
    error: Exception = ValueError("innermost")
    for level in range(500):
        error = ExceptionGroup(f"level {level}", [error])
    raise error


def chain(job: Job) -> NoReturn:
    first = error = ValueError("first")
    for n in range(10_000):
        error.__cause__ = ValueError(str(n))
        error = error.__cause__
    raise first


def circle(job: Job) -> NoReturn:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def notes(job: Job) -> NoReturn:
    error = ValueError("noted")
    error.add_note("note " * 1_000_000)
    raise error


def not_an_exception(job: Job) -> NoReturn:
    raise "text"  # type: ignore[misc]  # noqa: B016 - that is the mistake


class CarelessSnooze(Snooze):
    """Does not say for how long."""

    def __init__(self) -> None:
        BaseException.__init__(self)


def takes_nothing() -> None:
    """Called with a job, it raises before it begins."""


def deep_in_the_handler(job: Job) -> NoReturn:
    def inner() -> NoReturn:
        raise KeyError("missing")

    try:
        inner()
    except KeyError as error:
        raise RuntimeError("outer") from error


RAISES: dict[str, tuple[Handler, str]] = {
    # handler, how the message begins
    "an Exception": (raising(lambda: ValueError("no")), "ValueError: no"),
    "an exception without a message": (raising(ValueError), "ValueError"),
    "an exception of two": (raising(lambda: ValueError("no", 2)), "ValueError: ('no', 2)"),
    "BaseException": (raising(lambda: BaseException("no")), "BaseException: no"),
    "SystemExit": (raising(lambda: SystemExit(3)), "SystemExit: 3"),
    "sys.exit()": (lambda job: sys.exit(), "SystemExit"),
    "KeyboardInterrupt": (raising(KeyboardInterrupt), "KeyboardInterrupt"),
    "GeneratorExit": (raising(GeneratorExit), "GeneratorExit"),
    "StopIteration": (raising(lambda: StopIteration(5)), "StopIteration: 5"),
    "CancelledError": (raising(asyncio.CancelledError), "CancelledError"),
    "NotRunning": (raising(lambda: NotRunning("no")), "NotRunning: no"),
    "a Snooze for no time that it names": (raising(CarelessSnooze), "CarelessSnooze"),
    "an assertion": (raising(AssertionError), "AssertionError"),
    "text": (not_an_exception, "TypeError: exceptions must derive from BaseException"),
    "a call that does not fit": (takes_nothing, "TypeError: takes_nothing() takes 0 positional arguments"),  # type: ignore[dict-item]
    "one from another": (deep_in_the_handler, "RuntimeError: outer"),
    "its str() raises ValueError": (
        raising(error_class(__str__=method_raising(lambda: ValueError("no str")))),
        "Odd: <its str() raised ValueError>",
    ),
    "its str() raises SystemExit": (
        raising(error_class(__str__=method_raising(lambda: SystemExit(3)))),
        "Odd: <its str() raised SystemExit>",
    ),
    "its str() raises KeyboardInterrupt": (
        raising(error_class(__str__=method_raising(KeyboardInterrupt))),
        "Odd: <its str() raised KeyboardInterrupt>",
    ),
    "its str() raises Snooze": (
        raising(error_class(__str__=method_raising(lambda: Snooze(5)))),
        "Odd: <its str() raised Snooze>",
    ),
    "its str() raises itself": (
        raising(error_class(__str__=lambda self: (_ for _ in ()).throw(self))),
        "Odd: <its str() raised Odd>",
    ),
    "its str() is no str": (raising(error_class(__str__=lambda self: 5)), "Odd: <its str() raised TypeError>"),
    "its str() never ends": (raising(error_class(__str__=lambda self: str(self))), "Odd: <its str() raised RecursionError>"),
    "its str() cannot be formatted": (raising(error_class(__str__=lambda self: UnformattableText("text"))), "Odd"),
    "its repr() raises ValueError": (
        raising(error_class(__repr__=method_raising(lambda: ValueError("no repr")))),
        "Odd",
    ),
    "its repr() raises SystemExit": (raising(error_class(__repr__=method_raising(lambda: SystemExit(3)))), "Odd"),
    "its argument cannot be shown": (raising(lambda: ValueError(Unshowable())), "ValueError: <its str() raised ValueError>"),
    "its notes cannot be read": (
        raising(error_class(__notes__=property(method_raising(lambda: SystemExit(3))))),
        "Odd",
    ),
    "its traceback cannot be read": (
        raising(error_class(__traceback__=property(method_raising(lambda: SystemExit(3))))),
        "Odd",
    ),
    "no attribute of it can be read": (
        raising(error_class(__getattribute__=method_raising(lambda: SystemExit(3)))),
        "Odd",
    ),
    "50 MB": (raising(lambda: ValueError("start " + "x" * 50_000_000 + " end")), "ValueError: start xxx"),
    "20 MB of emoji": (raising(lambda: ValueError("start " + "🚀" * 5_000_000)), "ValueError: start 🚀🚀🚀"),
    "a class with a long name": (raising(type("Long" * 50_000, (Exception,), {})), "LongLongLong"),
    "5 MB of notes": (notes, "ValueError: noted"),
    "NUL": (raising(lambda: ValueError("a\x00b")), "ValueError: a\ufffdb"),
    "unprintable": (
        raising(lambda: ValueError("a\x1b[31m\x07\x7f\u202e\r\n\x85b")),
        "ValueError: a\x1b[31m\x07\x7f\u202e\r\n\x85b",
    ),
    "lone surrogates": (raising(lambda: ValueError("a\ud800b\udfff")), "ValueError: a\ufffdb\ufffd"),
    "RecursionError": (recursive, "RecursionError: maximum recursion depth exceeded"),
    "MemoryError": (out_of_memory, "MemoryError"),
    "an ExceptionGroup of 10,000": (group, "ExceptionGroup: many (10000 sub-exceptions)"),
    "ExceptionGroups 500 deep": (nested_groups, "ExceptionGroup: level 499 (1 sub-exception)"),
    "a chain of 10,000 causes": (chain, "ValueError: first"),
    "a circle of causes": (circle, "ValueError: one"),
}


@pytest.mark.parametrize(("handler", "message"), RAISES.values(), ids=RAISES)
def test_whatever_a_handler_raises_is_an_outcome_that_can_be_stored(handler: Handler, message: str) -> None:
    outcome = outcome_of(handler)
    assert type(outcome) is Raised
    assert outcome.message.startswith(message)
    assert_storable(outcome.message, MESSAGE_BYTES)
    assert_storable(outcome.details, DETAILS_BYTES)


def assert_storable(text: str, size: int) -> None:
    assert type(text) is str
    assert 0 < len(text.encode()) <= size  # UTF-8 has no lone surrogates
    assert "\x00" not in text


def test_the_bounds_are_those_promised() -> None:
    assert (MESSAGE_BYTES, DETAILS_BYTES) == (10_000, 64_000)


def test_a_long_message_keeps_both_ends_and_says_how_much_is_left_out() -> None:
    outcome = outcome_of(raising(lambda: ValueError("start " + "x" * 50_000_000 + " end")))
    assert isinstance(outcome, Raised)
    for text, size in ((outcome.message, MESSAGE_BYTES), (outcome.details, DETAILS_BYTES)):
        assert len(text) > size * 0.9
        assert "start xxx" in text
        assert text.rstrip().endswith("xxx end")
        assert " bytes left out ...\n" in text


@pytest.mark.parametrize("shift", range(4))
def test_a_long_message_is_not_cut_within_a_character(shift: int) -> None:
    outcome = outcome_of(raising(lambda: ValueError("x" * shift + "🚀" * 10_000)))
    assert isinstance(outcome, Raised)
    assert set(outcome.message.partition("\n... ")[0].removeprefix("ValueError: " + "x" * shift)) == {"🚀"}
    assert set(outcome.message.rpartition(" ...\n")[2]) == {"🚀"}


@pytest.mark.parametrize("length", [10_000, 10_001])
def test_a_message_is_cut_only_when_it_is_too_long(length: int) -> None:
    outcome = outcome_of(raising(lambda: ValueError("x" * (length - len("ValueError: ")))))
    assert isinstance(outcome, Raised)
    assert ("left out" in outcome.message) == (length > MESSAGE_BYTES)
    assert len(outcome.message) <= MESSAGE_BYTES


def test_the_details_are_the_traceback_from_the_handlers_own_frame() -> None:
    outcome = outcome_of(deep_in_the_handler)
    assert isinstance(outcome, Raised)
    assert outcome.details.startswith("Traceback (most recent call last):\n")
    assert "in deep_in_the_handler" in outcome.details
    assert "KeyError: 'missing'" in outcome.details
    assert "The above exception was the direct cause" in outcome.details
    assert outcome.details.endswith("RuntimeError: outer\n")
    assert "in _call" not in outcome.details


def test_if_the_traceback_cannot_be_printed_the_details_say_so() -> None:
    outcome = outcome_of(RAISES["its traceback cannot be read"][0])
    assert isinstance(outcome, Raised)
    assert outcome.details == "the traceback cannot be printed: SystemExit"


# -- what a handler may return ------------------------------------------------------------------------------------------


class Colour(StrEnum):
    RED = "red"


class Whole(int):
    """A subclass of int."""


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


RETURNS: dict[str, tuple[Callable[[], Any], Any]] = {
    # what it returns, what job.result becomes
    "None": (lambda: None, None),
    "True": (lambda: True, True),
    "False": (lambda: False, False),
    "zero": (lambda: 0, 0),
    "empty text": (lambda: "", ""),
    "an empty list": (list, []),
    "an empty dict": (dict, {}),
    "a dict": (lambda: {"n": [1, 2.5, None], "sent": True}, {"n": [1, 2.5, None], "sent": True}),
    "tuples": (lambda: (1, (2, ())), [1, [2, []]]),
    "subclasses": (lambda: {Colour.RED: [Colour.RED, Whole(5)]}, {"red": ["red", 5]}),
    "401 digits": (lambda: 10**400, 10**400),
    "numbers": (lambda: [0.1, 1.0, 5e-324, -1, 2**64], [0.1, 1.0, 5e-324, -1, 2**64]),
    "100 levels": (lambda: nested(100), nested(100)),
    "emoji": (lambda: {"🚀": "👩‍👩‍👧‍👦"}, {"🚀": "👩‍👩‍👧‍👦"}),
    "NUL": (lambda: "a\x00b", "a\ufffdb"),
    "NUL in a key": (lambda: {"a\x00": "\x00"}, {"a\ufffd": "\ufffd"}),
    "the escape of a NUL, spelled out": (lambda: "\\u0000\x00", "\\u0000\ufffd"),
    "a backslash before a NUL": (lambda: "\\\x00", "\\\ufffd"),
    "lone surrogates": (lambda: ["a\ud800b", "\udfff"], ["a\ufffdb", "\ufffd"]),
    "a lone surrogate in a key": (lambda: {"\ud800": 1}, {"\ufffd": 1}),
    "two surrogates that would be a pair": (lambda: "\ud83d\ude80", "\ufffd\ufffd"),
    "quotes and placeholders": (lambda: "'\"%s{}\\", "'\"%s{}\\"),
}


class OddDict(dict[str, Any]):
    """A dict whose items() is whatever a test says."""


def dict_with(items: Any) -> dict[str, Any]:
    return type("Odd", (OddDict,), {"items": items})(a=1)


def twofold() -> dict[str, Any]:
    """A dict that has a NaN only when it is read for the second time."""
    shown: Iterator[Any] = iter([[("a", 1)], [("a", float("nan"))]])
    return dict_with(lambda self: next(shown))


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


class Awaitable:
    def __await__(self) -> Any:
        yield


async def asynchronous_generator() -> Any:
    yield 1


async def asynchronous() -> None:
    """Nobody awaits it."""


UNSTORABLE: dict[str, tuple[Callable[[], Any], str]] = {
    # what it returns, a part of the message
    "an object": (object, "result is a object, which JSON cannot hold"),
    "a set": (lambda: {"a": [{1, 2}]}, 'result["a"][0] is a set, which JSON cannot hold'),
    "bytes": (lambda: b"abc", "result is a bytes, which JSON cannot hold"),
    "a Decimal": (lambda: {"total": Decimal("1.5")}, 'result["total"] is a Decimal, which JSON cannot hold'),
    "a datetime": (lambda: [NOON], "result[0] is a datetime, which JSON cannot hold"),
    "its run": (current_run, "result is a Run, which JSON cannot hold"),
    "its job": (lambda: current_run().job, "result is a Job, which JSON cannot hold"),
    "NaN": (lambda: {"a": float("nan")}, 'result["a"] is nan, which JSON cannot hold'),
    "inf": (lambda: -float("inf"), "result is -inf, which JSON cannot hold"),
    "5,001 digits": (lambda: [10**5000], "result[0] is an integer of more than 3,000 digits"),
    "an int as key": (lambda: {1: 2}, "result has a key that is a int, not a str"),
    "None as key": (lambda: [{None: 2}], "result[0] has a key that is a NoneType, not a str"),
    "a circular list": (circular, "is nested more than 100 levels deep, or contains itself"),
    "101 levels": (lambda: nested(101), "is nested more than 100 levels deep, or contains itself"),
    "100,000 levels": (lambda: nested(100_000), "is nested more than 100 levels deep, or contains itself"),
    "an exception": (lambda: ValueError("no"), "result is a ValueError, which JSON cannot hold"),
    "a dict whose items() raises": (
        lambda: dict_with(method_raising(lambda: LookupError("no items"))),
        "its result cannot be read: LookupError: no items",
    ),
    "a dict whose items() raises SystemExit": (
        lambda: {"a": dict_with(method_raising(lambda: SystemExit(3)))},
        "its result cannot be read: SystemExit: 3",
    ),
    "a dict whose items() raises what cannot be shown": (
        lambda: dict_with(method_raising(lambda: ValueError(Unshowable()))),
        "its result cannot be read: ValueError: <its str() raised ValueError>",
    ),
    "a dict whose items() raises 5 MB": (
        lambda: dict_with(method_raising(lambda: LookupError("x" * 5_000_000))),
        "its result cannot be read: LookupError: xxx",
    ),
    "a dict whose items() raises Snooze": (
        lambda: dict_with(method_raising(lambda: Snooze(5))),
        "its result cannot be read: Snooze: 5",
    ),
    "a dict that is another when looked at again": (twofold, "cannot be read: ValueError"),
    "a set below a key with a NUL": (lambda: {"a\x00": {1}}, 'result["a\ufffd"] is a set'),
    "a set below a key with a surrogate": (lambda: {"a\ud800": {1}}, 'result["a\ufffd"] is a set'),
    "an object of a class with a long name": (lambda: type("Long" * 50_000, (), {})(), "result is a LongLong"),
}


def returning(make: Callable[[], Any]) -> Handler:
    return lambda job: make()


@pytest.mark.parametrize(("make", "result"), RETURNS.values(), ids=RETURNS)
def test_what_a_handler_returns_becomes_the_result(make: Callable[[], Any], result: Any) -> None:
    outcome = outcome_of(returning(make))
    assert type(outcome) is Returned
    if result is None:
        assert outcome.result is None
    else:
        assert outcome.result is not None
        assert_storable(outcome.result, 10_000)
        assert decode(outcome.result) == result


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", [asynchronous, lambda: (n for n in "abc"), asynchronous_generator, Awaitable])
def test_a_handler_that_returns_something_to_await_fails_like_one_that_raised(
    make: Callable[[], Any],
) -> None:
    """Its job does not fail for good: after a deploy that mends the handler, it runs."""
    outcome = outcome_of(returning(make))
    assert type(outcome) is Raised
    assert outcome.message.startswith("HandlerNotRun: the handler returned a ")
    assert "nothing was run" in outcome.message


@pytest.mark.parametrize(("make", "message"), UNSTORABLE.values(), ids=UNSTORABLE)
def test_a_result_that_cannot_be_stored_is_unusable_and_the_message_says_where(make: Callable[[], Any], message: str) -> None:
    outcome = outcome_of(returning(make))
    assert type(outcome) is Unusable
    assert outcome.message.startswith("ResultNotStorable: the handler finished, but ")
    assert message in outcome.message
    assert_storable(outcome.message, MESSAGE_BYTES)


@pytest.mark.parametrize(
    ("result", "size"),
    [("x" * 98, 100), ("x" * 99, 101), ("é" * 49, 100), ("é" * 49 + "x", 101), ("\ud800" * 33, 101), ([1] * 50, 101)],
    ids=range(6),
)
def test_a_result_has_as_many_bytes_as_are_stored_and_at_most_the_limit(result: Any, size: int) -> None:
    outcome = outcome_of(lambda job: result, max_result_bytes=100)
    if size <= 100:
        assert type(outcome) is Returned
        assert len((outcome.result or "").encode()) == size
    else:
        assert outcome == Unusable(
            f"ResultNotStorable: the handler finished, but its result has {size} bytes, more than max_result_bytes=100"
        )


# -- snoozing -----------------------------------------------------------------------------------------------------------


class Later(Snooze):
    """A subclass of an application."""


def snooze_within(job: Job) -> None:
    try:
        raise Snooze(60)
    except Exception:
        pytest.fail("a handler's own `except Exception` caught it")


@pytest.mark.parametrize(
    ("handler", "seconds"),
    [
        (raising(lambda: Snooze(60)), 60.0),
        (raising(lambda: Snooze(0)), 0.0),
        (raising(lambda: Later(0.5)), 0.5),
        (snooze_within, 60.0),
    ],
)
def test_a_snooze_is_no_error(handler: Handler, seconds: float) -> None:
    assert outcome_of(handler) == Snoozed(seconds)


def spoiled(seconds: Any) -> Callable[[], Snooze]:
    def make() -> Snooze:
        snooze = Snooze(5)
        snooze.seconds = seconds
        return snooze

    return make


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (lambda job: Snooze(-1), "ValueError: Snooze(seconds) must be between"),
        (lambda job: Snooze("5"), "TypeError: Snooze(seconds) must be a number"),  # type: ignore[arg-type]
        (raising(spoiled(float("nan"))), "Snooze"),
        (raising(spoiled(1e300)), "Snooze"),
    ],
    ids=["negative", "text", "set to NaN", "set to 1e300"],
)
def test_a_snooze_for_an_impossible_time_is_an_error_like_any_other(handler: Handler, message: str) -> None:
    outcome = outcome_of(handler)
    assert type(outcome) is Raised
    assert outcome.message.startswith(message)


# -- what a handler gets, and where it runs -----------------------------------------------------------------------------


def test_a_handler_gets_the_job_as_running() -> None:
    seen: list[Job] = []
    outcome_of(seen.append)
    assert seen == [CLAIMED.job(lambda text: {"n": [1]}, Status.RUNNING)]


class CallableObject:
    def __call__(self, job: Job) -> str:
        return job.type

    def method(self, job: Job) -> str:
        return job.type

    @staticmethod
    def static(job: Job) -> str:
        return job.type


@pytest.mark.parametrize("handler", [CallableObject(), CallableObject().method, CallableObject.static, lambda job: job.type])
def test_anything_that_can_be_called_with_a_job_is_a_handler(handler: Handler) -> None:
    assert outcome_of(handler) == Returned('"a"')


UNDECODABLE = {
    "5,000 digits": '{"n":' + "1" * 5_000 + "}",
    "100,000 levels": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    "no JSON": "{",
}


@pytest.mark.parametrize("payload", UNDECODABLE.values(), ids=UNDECODABLE)
def test_a_payload_that_cannot_be_decoded_is_unusable_and_no_handler_is_called(payload: str) -> None:
    called: list[Job] = []
    outcome = outcome_of(called.append, CLAIMED._replace(payload=payload))
    assert type(outcome) is Unusable
    assert outcome.message.startswith("PayloadNotDecodable: ")
    assert_storable(outcome.message, 200)
    assert called == []


def test_current_run_is_the_run_of_the_handler_that_asks() -> None:
    seen: list[Run] = []
    outcome_of(lambda job: seen.append(current_run()) or job.type)
    assert seen[0].job == CLAIMED.job(lambda text: {"n": [1]}, Status.RUNNING)
    with pytest.raises(NotRunning, match="current_run"):
        current_run()


def test_after_a_handler_that_raised_there_is_no_current_run() -> None:
    outcome_of(raising(ValueError))
    with pytest.raises(NotRunning, match="current_run"):
        current_run()


def test_current_run_belongs_to_its_thread() -> None:
    first_inside, second_inside = threading.Barrier(2), threading.Barrier(2)
    seen: dict[str, str] = {}

    def handler(job: Job) -> None:
        first_inside.wait(10)
        seen[job.type] = current_run().job.type
        second_inside.wait(10)

    threads = [threading.Thread(target=outcome_of, args=[handler, CLAIMED._replace(type=type)]) for type in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"a": "a", "b": "b"}


def test_a_handler_runs_in_a_context_of_its_own() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("outside")
    seen: list[str] = []

    def handler(job: Job) -> None:
        seen.append(variable.get())
        variable.set("inside")

    outcome_of(handler)
    outcome_of(handler)
    assert seen == ["unset", "unset"]
    assert variable.get() == "outside"


def test_what_a_handler_does_to_its_payload_does_not_reach_the_next_attempt() -> None:
    def handler(job: Job) -> Any:
        job.payload["n"].append(2)
        return job.payload

    assert outcome_of(handler) == outcome_of(handler) == Returned('{"n":[1,2]}')


def test_a_job_cannot_be_changed_by_its_handler() -> None:
    def handler(job: Job) -> None:
        job.type = "b"  # type: ignore[misc]

    outcome = outcome_of(handler)
    assert isinstance(outcome, Raised)
    assert outcome.message.startswith(dataclasses.FrozenInstanceError.__name__)


class Answer(NamedTuple):
    """A value that a handler may return without thinking of JSON."""

    sent: bool
    to: str


def test_a_namedtuple_becomes_a_list() -> None:
    assert outcome_of(lambda job: Answer(True, "ada")) == Returned('[true,"ada"]')
