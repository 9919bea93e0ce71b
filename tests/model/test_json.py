"""JSON as a payload or a result may be: what can be stored and how it reads back, what cannot and at which place, and what
is cleaned on the way.
"""

import itertools
import json
import os
import subprocess
import sys
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from steve._model.json import NotStorable, decode, decode_or_text, encode, readable


class Colour(StrEnum):
    RED = "red"


class OldColour(str, Enum):  # noqa: UP042 - what StrEnum was before Python 3.11
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Text(str):
    """Subclasses of what JSON knows are fine, whatever they look like when shown."""

    def __str__(self) -> str:
        return "shown"

    __repr__ = __str__


class Whole(int):
    def __str__(self) -> str:
        return "shown"

    __repr__ = __str__


class Real(float):
    def __str__(self) -> str:
        return "shown"

    __repr__ = __str__


class Record(dict[str, Any]):
    """A subclass of dict."""


Point = namedtuple("Point", ["x", "y"])


def nested(depth: int, innermost: Any = None) -> dict[str, Any]:
    """So many levels of dicts and lists, the outermost a dict."""
    value = innermost
    for level in range(depth, 0, -1):
        value = {"a": value} if level % 2 else [value]
    assert isinstance(value, dict)
    return value


def circular_dict() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def circular_list() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


STORABLE: dict[str, tuple[Any, Any]] = {
    # value, what it reads back as
    "an empty dict": ({}, {}),
    "text": ("a", "a"),
    "empty text": ("", ""),
    "None, True, False": ([None, True, False], [None, True, False]),
    "numbers": ([0, -1, 2**63, 1.5, -0.0, 1e308, 5e-324], [0, -1, 2**63, 1.5, -0.0, 1e308, 5e-324]),
    "401 digits": ({"n": 10**400}, {"n": 10**400}),
    "3,000 digits": (-(10**2999), -(10**2999)),
    "a tuple": (({"a": (1, (2,))},), [{"a": [1, [2]]}]),
    "a namedtuple": (Point(1, 2), [1, 2]),
    "an OrderedDict": (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "a defaultdict": (defaultdict(list, a=[1]), {"a": [1]}),
    "a subclass of dict": (Record(a=1), {"a": 1}),
    "a subclass of str": ({Text("key"): Text("value")}, {"key": "value"}),
    "subclasses of int and float": ([Whole(5), Real(1.5)], [5, 1.5]),
    "a StrEnum": ({Colour.RED: Colour.RED}, {"red": "red"}),
    "a str and Enum": ({OldColour.RED: OldColour.RED}, {"red": "red"}),
    "an IntEnum": ([Size.SMALL], [1]),
    "100 levels": (nested(100), nested(100)),
    "emoji": ({"🚀": "👩‍👩‍👧‍👦"}, {"🚀": "👩‍👩‍👧‍👦"}),
    "the last character": ("\U0010ffff", "\U0010ffff"),
    "control characters but NUL": ("".join(map(chr, range(1, 32))) + "\x7f\x9f", "".join(map(chr, range(1, 32))) + "\x7f\x9f"),
    "quotes and backslashes": ('\'"\\"\\\\', '\'"\\"\\\\'),
    "the escape of a NUL, spelled out": ("\\u0000 and \\\\u0000", "\\u0000 and \\\\u0000"),
    "a key spelled out": ({"\\u0000": 1}, {"\\u0000": 1}),
    "an empty key": ({"": 1}, {"": 1}),
    "placeholders": ("%s %(a)s {} {schema} $1", "%s %(a)s {} {schema} $1"),
    "the same list twice, which is no circle": ([shared := [1], shared], [[1], [1]]),
}


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize(("value", "read"), STORABLE.values(), ids=STORABLE)
def test_what_can_be_stored_reads_back(value: Any, read: Any, clean: bool) -> None:
    text = encode(value, "payload", clean=clean)
    text.encode()
    assert "\x00" not in text
    assert decode(text) == read
    assert repr(decode(text)) == repr(read)  # the types too: 1 == True == 1.0


@pytest.mark.parametrize("value", [value for value, _ in STORABLE.values()], ids=STORABLE)
def test_the_text_is_that_of_json(value: Any) -> None:
    assert encode(value, "payload") == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


WITHOUT_C = """
import sys
sys.modules["_json"] = None
import json
assert json.encoder.c_make_encoder is None
from steve._model.json import encode
from tests.model.test_json import STORABLE
texts = {name: encode(value, "payload") for name, (value, _) in STORABLE.items()}
print(json.dumps(texts))
"""


def test_the_text_is_the_same_in_an_interpreter_without_an_encoder_in_c() -> None:
    root = Path(__file__).parents[2]
    # A coverage that starts in the child would import json before the child can take the encoder away.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    printed = subprocess.run(
        [sys.executable, "-c", WITHOUT_C], cwd=root, env=environ | {"PYTHONPATH": str(root)}, check=True, capture_output=True
    ).stdout
    assert json.loads(printed) == {name: encode(value, "payload") for name, (value, _) in STORABLE.items()}


FLAWS: dict[str, tuple[Callable[[], Any], str]] = {
    # value, the message
    "a set": (lambda: {"a": {1, 2}}, 'payload["a"] is a set, which JSON cannot hold'),
    "a set as the whole": (lambda: {1}, "payload is a set, which JSON cannot hold"),
    "deep inside": (lambda: {"a": [0, {"b": (1, {2})}]}, 'payload["a"][1]["b"][1] is a set, which JSON cannot hold'),
    "bytes": (lambda: {"a": b"secret"}, 'payload["a"] is a bytes, which JSON cannot hold'),
    "a bytearray": (lambda: [bytearray(b"secret")], "payload[0] is a bytearray, which JSON cannot hold"),
    "a datetime": (lambda: [datetime.now(UTC)], "payload[0] is a datetime, which JSON cannot hold"),
    "a date": (lambda: [date(2025, 1, 1)], "payload[0] is a date, which JSON cannot hold"),
    "a Decimal": (lambda: [Decimal("1.5")], "payload[0] is a Decimal, which JSON cannot hold"),
    "a Fraction": (lambda: [Fraction(1, 3)], "payload[0] is a Fraction, which JSON cannot hold"),
    "a complex": (lambda: [5j], "payload[0] is a complex, which JSON cannot hold"),
    "a UUID": (lambda: [UUID(int=7)], "payload[0] is a UUID, which JSON cannot hold"),
    "a path": (lambda: [PurePosixPath("/secret")], "payload[0] is a PurePosixPath, which JSON cannot hold"),
    "an object": (lambda: [object()], "payload[0] is a object, which JSON cannot hold"),
    "a class": (lambda: [int], "payload[0] is a type, which JSON cannot hold"),
    "a generator": (lambda: [(n for n in "secret")], "payload[0] is a generator, which JSON cannot hold"),
    "a UserDict": (lambda: UserDict(a="secret"), "payload is a UserDict, which JSON cannot hold"),
    "a view": (lambda: {"a": {"secret": 1}.keys()}, 'payload["a"] is a dict_keys, which JSON cannot hold'),
    "an Enum": (lambda: [Enum("Plain", "A").A], "payload[0] is a Plain, which JSON cannot hold"),  # type: ignore[attr-defined]
    "NaN": (lambda: {"a": float("nan")}, 'payload["a"] is nan, which JSON cannot hold'),
    "inf": (lambda: {"a": float("inf")}, 'payload["a"] is inf, which JSON cannot hold'),
    "-inf": (lambda: {"a": -float("inf")}, 'payload["a"] is -inf, which JSON cannot hold'),
    "a NaN that shows as another": (lambda: {"a": Real("nan")}, 'payload["a"] is nan, which JSON cannot hold'),
    "5,001 digits": (lambda: {"a": 10**5000}, 'payload["a"] is an integer of more than 3,000 digits'),
    "-5,001 digits": (lambda: {"a": -(10**5000)}, 'payload["a"] is an integer of more than 3,000 digits'),
    "an int as key": (lambda: {"a": {1: "secret"}}, 'payload["a"] has a key that is a int, not a str'),
    "None as key": (lambda: {None: "secret"}, "payload has a key that is a NoneType, not a str"),
    "True as key": (lambda: {True: "secret"}, "payload has a key that is a bool, not a str"),
    "bytes as key": (lambda: {b"secret": 1}, "payload has a key that is a bytes, not a str"),
    "a tuple as key": (lambda: {("secret",): 1}, "payload has a key that is a tuple, not a str"),
    "a circular dict": (circular_dict, 'payload["self"]["self"]'),
    "a circular list": (circular_list, "payload[1][1][1]"),
    "101 levels": (lambda: nested(101), "is nested more than 100 levels deep, or contains itself"),
    "10,000 levels": (lambda: nested(10_000), "is nested more than 100 levels deep, or contains itself"),
}
NOT_TEXT: dict[str, tuple[Callable[[], Any], str]] = {
    "a NUL": (lambda: {"a": "secret\x00"}, 'payload["a"] contains a NUL character or a lone surrogate'),
    "a NUL among emoji": (lambda: {"a": "🚀\x00"}, 'payload["a"] contains a NUL character or a lone surrogate'),
    "a high surrogate": (lambda: ["secret\ud800"], "payload[0] contains a NUL character or a lone surrogate"),
    "a low surrogate": (lambda: ["\udfffsecret"], "payload[0] contains a NUL character or a lone surrogate"),
    "two that would be a pair": (lambda: ["\ud83d\ude80"], "payload[0] contains a NUL character or a lone surrogate"),
    "a NUL in a key": (lambda: {"a": {"b\x00": "secret"}}, 'payload["a"] has a key with a NUL character or a lone surrogate'),
    "a surrogate in a key": (lambda: {"\ud800": "secret"}, "payload has a key with a NUL character or a lone surrogate"),
    "a NUL in a subclass": (lambda: [Text("secret\x00")], "payload[0] contains a NUL character or a lone surrogate"),
}


@pytest.mark.parametrize(("make", "message"), (FLAWS | NOT_TEXT).values(), ids=FLAWS | NOT_TEXT)
def test_what_cannot_be_stored_is_refused_and_its_place_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(NotStorable) as caught:
        encode(make(), "payload")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(("make", "message"), FLAWS.values(), ids=FLAWS)
def test_cleaning_mends_texts_and_nothing_else(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(NotStorable) as caught:
        encode(make(), "payload", clean=True)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"k" * 10_000: {1}},
        lambda: {"🚀" * 10_000: {1}},
        lambda: nested(99, {"k" * 10_000: {1}}),
        lambda: [type("T" * 100_000, (), {})()],
        lambda: {type("T" * 100_000, (), {})(): 1},
    ],
    ids=["a long key", "a long key of emoji", "a long path", "a type with a long name", "a key with a long type"],
)
def test_a_message_is_short_whatever_it_names(make: Callable[[], Any]) -> None:
    with pytest.raises(NotStorable) as caught:
        encode(make(), "payload")
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("key", ["a\x00b", "a\ud800b"], ids=["NUL", "surrogate"])
def test_a_place_that_is_named_can_be_stored_itself(key: str) -> None:
    with pytest.raises(NotStorable) as caught:
        encode({key: {1}}, "result", clean=True)
    assert "is a set" in str(caught.value)
    assert "\x00" not in str(caught.value)
    str(caught.value).encode()


CLEANED = {
    "a NUL": ("a\x00b", "a\ufffdb"),
    "NULs only": ("\x00\x00", "\ufffd\ufffd"),
    "a lone surrogate": ("a\ud800b\udfff", "a\ufffdb\ufffd"),
    "two that would be a pair": ("\ud83d\ude80", "\ufffd\ufffd"),
    "a pair stays": ("🚀\x00", "🚀\ufffd"),
    "in a key": ({"a\x00": 1, "b\ud800": 2}, {"a\ufffd": 1, "b\ufffd": 2}),
    "deep inside": ([{"a": ["\x00"]}], [{"a": ["\ufffd"]}]),
    "the escape of a NUL, spelled out": ("\\u0000", "\\u0000"),
    "a backslash before a NUL": ("\\\x00", "\\\ufffd"),
    "two backslashes before a NUL": ("\\\\\x00\\", "\\\\\ufffd\\"),
    "both kinds": ("\\u0000\x00\\u0000", "\\u0000\ufffd\\u0000"),
}


@pytest.mark.parametrize(("value", "cleaned"), CLEANED.values(), ids=CLEANED)
def test_cleaning_replaces_what_postgresql_cannot_store(value: Any, cleaned: Any) -> None:
    assert decode(encode(value, "result", clean=True)) == cleaned


def test_cleaning_replaces_nothing_else_wherever_nuls_and_escapes_meet() -> None:
    for pieces in itertools.product(["\x00", "\\", "u0000", "\\u0000", '"', "é", "\ud800"], repeat=4):
        text = "".join(pieces)
        expected = text.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
        assert decode(encode({text: text}, "result", clean=True)) == {expected: expected}


@pytest.mark.parametrize(
    ("text", "read"),
    [("", ""), ("plain", "plain"), ("a\x00b", "a\ufffdb"), ("é\x00\ud800🚀", "é\ufffd\ufffd🚀"), ("\x1b[31m\n", "\x1b[31m\n")],
)
def test_readable_text_can_be_stored_by_postgresql(text: str, read: str) -> None:
    assert readable(text) == read


UNDECODABLE = {
    "5,000 digits": ('{"n": ' + "1" * 5_000 + "}", ValueError),
    "100,000 levels": ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", RecursionError),
}


@pytest.mark.parametrize(("text", "error"), UNDECODABLE.values(), ids=UNDECODABLE)
def test_what_python_cannot_hold_raises_or_stays_text(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode(text)
    assert decode_or_text(text) == text


@pytest.mark.parametrize("text", ["{}", "null", "[1, 2.5, true]", '{"a": {"b": "\\u00e9"}}'])
def test_what_python_can_hold_is_decoded_by_both_alike(text: str) -> None:
    assert decode(text) == decode_or_text(text) == json.loads(text)


def test_each_empty_payload_is_a_dict_of_its_own() -> None:
    decode("{}")["a"] = 1
    assert decode("{}") == {}


@pytest.mark.parametrize("flat", [{"a": "\x00"}, {"a": "\ud800"}, {"\x00": 1}, {"a": 1 << 10_001}, {"a": float("nan")}, {1: 2}])
def test_a_flaw_in_a_short_flat_dict_is_found_as_in_any_other(flat: dict[Any, Any]) -> None:
    deep = {"deep": flat}
    with pytest.raises(NotStorable) as in_flat:
        encode(flat, 'payload["deep"]')
    with pytest.raises(NotStorable) as in_deep:
        encode(deep, "payload")
    assert str(in_flat.value) == str(in_deep.value)
