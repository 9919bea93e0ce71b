"""Texts that others wrote, made harmless for a terminal: one line, no control characters, none that change the direction."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

ELLIPSIS = "…"


def escaped(text: str) -> str:
    """The text on one line. What is not printable is written as in Python: `\\n`, `\\x1b`, `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def cut(text: str, columns: int) -> str:
    """The text, escaped, in at most so many columns."""
    shown = escaped(text[: columns * 4 + 1])  # combining characters take no column
    if len(text) <= columns * 4 + 1 and width(shown) <= columns:
        return shown
    kept, used = [], 0
    for char in shown:
        used += _width(char)
        if used >= columns:
            break
        kept.append(char)
    return "".join(kept) + ELLIPSIS


def time_text(at: datetime) -> str:
    """In UTC, to the second. The Z says so."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def duration(value: float | timedelta) -> str:
    """`0.4 ms`, `3.2 s`, `5 min 12 s`, `3 h 20 min`, `12 d 4 h`."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds else "0 s"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    for size, unit, smaller, small in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size:,} {unit}" + (f" {rest} {small}" if rest else "")
    raise AssertionError(seconds)
