"""What arguments of several commands look like: ages, times, uids, tags, JSON. A wrong one ends the program with the code 2."""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def age(text: str) -> timedelta:
    match = re.fullmatch("([0-9]{1,9})([dhms])", text)
    if match is None:
        raise ArgumentTypeError(f"must be a number and d, h, m or s, such as 30d or 12h, not {text!r}")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def moment(text: str) -> datetime:
    """A time, or how long ago it was."""
    if re.fullmatch("[0-9]{1,9}[dhms]", text):
        try:
            return datetime.now(UTC) - age(text)
        except OverflowError:
            raise ArgumentTypeError(f"is too long ago: {text!r}") from None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"must be an age such as 24h, or a time such as 2030-01-31T12:00Z, not {text!r}") from None
    if at.tzinfo is None:
        raise ArgumentTypeError(f"needs a time zone, such as {text}Z for UTC")
    return at


def uid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"must be the uid of a job, not {text!r}") from None


def tag(text: str) -> tuple[str, str | int | bool]:
    """NAME=VALUE. true, false and whole numbers are themselves; in double quotes they are texts."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentTypeError(f"must be NAME=VALUE, not {text!r}")
    if value in ("true", "false"):
        return name, value == "true"
    if re.fullmatch("-?[0-9]{1,18}", value):
        return name, int(value)
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return name, value[1:-1]
    return name, value


def tag_text(name: str, value: str | int | bool) -> str:
    """What `tag` reads as this."""
    plain = f"{name}={str(value).lower() if isinstance(value, bool) else value}"
    return plain if tag(plain) == (name, value) else f'{name}="{value}"'


def count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ArgumentTypeError(f"must be a whole number of 1 or more, not {text!r}")
    return number


def natural(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ArgumentTypeError(f"must be a whole number of 0 or more, not {text!r}")
    return number


def positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return number


def payload(text: str) -> dict[str, Any]:
    """A JSON object; `-`: from stdin; `@FILE`: from a file."""
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        value = json.loads(text)
    except OSError as error:
        raise ArgumentTypeError(f"cannot be read: {error}") from None
    except ValueError as error:  # its message does not quote the text
        raise ArgumentTypeError(f"is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArgumentTypeError("must be a JSON object")
    return value
