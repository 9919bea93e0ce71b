"""The lines of an attempt as text: what a line may hold, and how lines are stored. Pure.

A line is a list in JSON: when it was logged, its level, its logger and its message. It is encoded when it is logged, in ASCII:
so its length is known, a database of any encoding can hold it, and it takes little memory until it is written.
"""

from __future__ import annotations

import re
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

from steve._model.json import readable

LINE_MOST = 32_000
"""How many characters a message may have. Of a longer one the beginning and the end are kept."""
NAME_MOST = 255


class Chunk(NamedTuple):
    """Lines that follow one another, as they are stored: a row of the table `log`."""

    first: int
    """The number of its first line, counted from 0."""
    last: int
    text: str
    """A list in JSON."""

    @property
    def size(self) -> int:
        return len(self.text) + ROW_SIZE


class Cut(NamedTuple):
    """The rows to delete from the middle of an attempt's log: those whose first lines have these numbers."""

    first: int
    until: int
    """The number after the last one."""


ROW_SIZE = 100
"""About what a row takes beside its lines."""


def encoded(at: float, level: str, logger: str, message: str) -> str:
    """A line as JSON text. `at`: seconds since 1970."""
    if len(message) <= LINE_MOST and message.isascii() and "\x00" not in message:
        quoted = encode_basestring_ascii(message)  # nearly all lines
    else:
        quoted = _quoted(message, LINE_MOST)
    return f"[{int(at * 1e6)}{_quoted_names(level, logger)}{quoted}]"


def chunk(first: int, lines: list[str]) -> Chunk:
    return Chunk(first, first + len(lines) - 1, "[" + ",".join(lines) + "]")


@lru_cache(maxsize=1_000)
def _quoted_names(level: str, logger: str) -> str:
    """A program has few levels and loggers, and very many lines."""
    return f",{_quoted(level, NAME_MOST)},{_quoted(logger, NAME_MOST)},"


def _quoted(text: str, most: int) -> str:
    if len(text) > most:
        text = _shortened(text, most)
    return encode_basestring_ascii(readable(text))


def _shortened(text: str, most: int) -> str:
    if not text.isascii():
        most //= 6  # what a character beyond ASCII takes
    if len(text) <= most:
        return text
    half = (most - 60) // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


_BREAK = re.compile(r"\r?\n")


def printed(text: str) -> list[str]:
    """The lines of what was printed. The last one is not ended: it is empty if the text ends with a line break."""
    return _BREAK.split(text)


def left_out(lines: int) -> str:
    """The message of the line that stands for those left out."""
    return f"... {lines:,} {'line' if lines == 1 else 'lines'} left out ..."
