"""Which names the types and queues of jobs can have."""

from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Any

import pytest

from steve._model.names import name_flaw


class Text(str):
    """A subclass of str."""


class Queue(StrEnum):
    MAIL = "mail"


class OldQueue(str, Enum):  # noqa: UP042 - what StrEnum was before Python 3.11
    MAIL = "mail"


CONTROL = [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0)]]
NOT_A_STR: list[Any] = [None, 5, 1.5, b"a", ["a"], ("a",), {"a": 1}, object()]


@pytest.mark.parametrize(
    ("name", "flaw"),
    [
        ("", "must have 1 to 255 characters, not 0"),
        ("a" * 256, "must have 1 to 255 characters, not 256"),
        ("🚀" * 256, "must have 1 to 255 characters, not 256"),
        *[(f"a{character}b", "must not contain control characters") for character in CONTROL],
        ("\x00", "must not contain control characters"),
        ("a\ud800b", "must not contain control characters or lone surrogates"),
        ("a\udfff", "must not contain control characters or lone surrogates"),
        *[(name, "must not begin or end with a blank") for name in (" ", " a", "a ", "a\u00a0", "\u3000a", "\u2028a")],
        *[(name, f"must be a str, not {type(name).__name__}") for name in NOT_A_STR],
    ],
)
def test_a_type_or_a_queue_cannot_have_a_name_with_a_flaw(name: Any, flaw: str) -> None:
    found = name_flaw(name)
    assert found is not None
    assert found.startswith(flaw)
    assert len(found) < 200
    found.encode()


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a" * 255,
        "🚀" * 255,
        "a b",
        "%s",
        "%(name)s",
        "{}",
        "'; drop table job; --",
        '"',
        "\\",
        "Grüße",
        "إرسال",
        "e\u0301",
        "a\u200db",
        "\ufffd",
        "null",
        Text("a"),
        Queue.MAIL,
        OldQueue.MAIL,
    ],
)
def test_a_type_or_a_queue_can_have_any_other_name(name: str) -> None:
    assert name_flaw(name) is None


@pytest.mark.parametrize("make", [str, Text], ids=["str", "subclass"])
def test_the_flaw_shows_no_more_than_the_beginning_of_the_name(make: Callable[[str], str]) -> None:
    assert len(name_flaw(make("\x00" * 255)) or "") < 200
