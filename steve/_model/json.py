"""Encodes payloads and results, after a check that JSON and PostgreSQL's jsonb can hold them, and decodes them.

Errors name the place of a value, never the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import isfinite
from typing import Any

MAX_DEPTH = 100
MAX_INT_BITS = 10_000
"""About 3,000 digits. Python refuses to print more than 4,300; PostgreSQL's numeric can hold far more."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_EXPONENT = re.compile(r"\de[+-](\d{2,3})(?!\d)")
_decode = json.JSONDecoder().raw_decode


def _make_encode() -> Callable[[Any], str]:
    """A function that encodes a value.

    `JSONEncoder.encode` makes an encoder in C for each value, which takes longer than encoding a small value. So this makes one
    encoder for all values. If the interpreter has no such encoder, or one with other arguments, this returns json's `encode`.
    """
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
    try:
        chunks = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
            None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False
        )
    except (AttributeError, TypeError):
        return encoder.encode
    return lambda value: "".join(chunks(value, 0))


_encode = _make_encode()


class NotStorable(ValueError):
    """A payload or a result cannot hold the value. The message is a clause that names the place: `payload["a"] is a set`."""


class Flaw(Exception):
    """Raised by `_check`, and by codec.py. Each level adds its key or index as the error passes through, so that a sound value
    costs no work for a path."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.steps: list[str | int] = []

    def at(self, place: str) -> str:
        path = "".join(f"[{step}]" if isinstance(step, int) else f'["{readable(step[:40])}"]' for step in reversed(self.steps))
        return f"{place}{path if len(path) <= 300 else path[:300] + '...'} {self.what}"


def encode(value: Any, place: str, *, clean: bool = False) -> str:
    """`value` as JSON text. Raises NotStorable, which says what cannot be stored and where. `place`: what errors call `value`.

    PostgreSQL's text holds neither NUL nor lone surrogates, so they are refused; with `clean` they become U+FFFD.
    """
    if type(value) is dict and (text := _encode_flat(value)) is not None:
        return text
    try:
        _check(value, 1, clean)
    except Flaw as flaw:
        raise NotStorable(flaw.at(place)) from None
    text = _encode(value)
    if clean:
        if "\\u0000" in text:
            text = _ESCAPED_NUL.sub("\\1\ufffd", text)
        text = readable(text)
    return text


_PLAIN = frozenset((str, int, float, bool, type(None)))
_SHORT = 3_000
"""An integer of more than MAX_INT_BITS has more digits than this."""


def _encode_flat(value: dict[Any, Any]) -> str | None:
    """The JSON text of a short dict that holds no other dict or list, as most payloads are. Its text shows whether there may be
    a flaw, which is cheaper than a look at each value. None: there may be one, or the value is of another kind."""
    for key, item in value.items():
        if type(key) is not str or type(item) not in _PLAIN:
            return None
    try:
        text = _encode(value)
    except ValueError:  # NaN or an infinity
        return None
    # The text of a sound string is ASCII only if the string is, and it shows a NUL in this way.
    return text if len(text) <= _SHORT and text.isascii() and "\\u0000" not in text else None


def size(text: str) -> int:
    """How many bytes the text takes in UTF-8. 1e300 counts with all its zeros, because PostgreSQL will write them out."""
    count = len(text) if text.isascii() else len(text.encode())
    if "e+" in text or "e-" in text:
        # This may count too many bytes, never too few: text in a string may look like an exponent, too.
        count += sum(int(exponent) for exponent in _EXPONENT.findall(text))
    return count


def in_ascii(text: str) -> str:
    """The same JSON with ASCII characters only."""
    return text if text.isascii() else json.dumps(json.loads(text), separators=(",", ":"))


def readable(text: str) -> str:
    """The text with U+FFFD in place of NUL and lone surrogates, which PostgreSQL cannot store."""
    if text.isascii():  # the common case, and a hundred times faster
        return text.replace("\x00", "\ufffd")
    return _SURROGATE.sub("\ufffd", text).replace("\x00", "\ufffd")


def decode(text: str) -> Any:
    """The value of a payload's or a result's text.

    Raises ValueError or RecursionError if Python cannot hold the value: a row that was written by hand may have numbers of more
    than 4,300 digits, or thousands of levels. So guard each call, because one such row must not stop the others.
    """
    value, end = _decode(text)
    # json.loads also looks for blanks around the value, which PostgreSQL never writes, and so takes up to four times as long.
    return value if end == len(text) else json.loads(text)


def decode_or_text(text: str) -> Any:
    """As `decode`, but returns the text itself if Python cannot hold the value: one such row must not stop a page of jobs."""
    try:
        return decode(text)
    except (ValueError, RecursionError):
        return text


def _check(value: Any, depth: int, clean: bool) -> None:
    # The most frequent types come first. Subclasses are fine: json writes them as their base.
    # isinstance gets a tuple of types, because a union would be built at each call.
    if isinstance(value, str):
        if not clean and not _is_text(value):
            raise Flaw("contains a NUL character or a lone surrogate")
    elif value is None or value is True or value is False:
        pass
    elif isinstance(value, int):
        if value.bit_length() > MAX_INT_BITS:
            raise Flaw("is an integer of more than 3,000 digits")
    elif isinstance(value, float):
        if not isfinite(value):
            raise Flaw(f"is {float(value)}, which JSON cannot hold")
    elif isinstance(value, (dict, list, tuple)):
        if depth > MAX_DEPTH:
            raise Flaw(f"is nested more than {MAX_DEPTH} levels deep, or contains itself")
        if isinstance(value, dict):
            _check_keys(value, clean)
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            try:
                _check(item, depth + 1, clean)
            except Flaw as flaw:
                flaw.steps.append(step)
                raise
    else:
        raise Flaw(f"is a {type(value).__name__[:60]}, which JSON cannot hold")


def _check_keys(value: dict[Any, Any], clean: bool) -> None:
    for key in value:
        if not isinstance(key, str):  # json would turn 1 into "1", which may be a key too
            raise Flaw(f"has a key that is a {type(key).__name__[:60]}, not a str")
        if not clean and not _is_text(key):
            raise Flaw("has a key with a NUL character or a lone surrogate")


def _is_text(text: str) -> bool:
    return "\x00" not in text and (text.isascii() or _SURROGATE.search(text) is None)
