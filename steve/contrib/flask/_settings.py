"""Reads an app's config: what is called STEVE_ something, and SQLALCHEMY_DATABASE_URI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from steve.contrib.flask._uri import without_driver

PREFIX = "STEVE_"

OURS = ("DATABASE_URI", "MIGRATE", "WORKERS")
"""What the extension itself uses. `DATABASE_URI`: what JobManager takes as `db`. `MIGRATE` and `WORKERS`: for `start` and
`run`."""

OF_MANAGER = (
    "schema", "queues", "poll_interval", "retry", "lease", "heartbeat", "max_crashes", "notify", "listen_db",
    "max_payload_bytes", "max_result_bytes", "prune", "timeout", "stuck_after", "capture_logs", "capture_print",
    "create_timeout",
)  # fmt: skip
"""Keywords of JobManager."""

UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


@dataclass(frozen=True)
class FlaskSettings:
    db: object
    workers: Any
    migrate: bool
    of_manager: Mapping[str, Any]


def read(config: Mapping[str, Any]) -> FlaskSettings:
    """Raises TypeError and ValueError."""
    known = {*OURS, *(name.upper() for name in OF_MANAGER)}
    given = {name.removeprefix(PREFIX): value for name, value in config.items() if name.startswith(PREFIX)}
    if wrong := sorted(set(given) - known):
        names = ", ".join(PREFIX + name for name in sorted(known))
        raise ValueError(f"{PREFIX}{wrong[0]} is no setting of steve: there are {names}")
    migrate = given.get("MIGRATE", True)
    if not isinstance(migrate, bool):
        raise TypeError(f"STEVE_MIGRATE must be a bool, not {type(migrate).__name__}")
    of_manager = {name: given[name.upper()] for name in OF_MANAGER if name.upper() in given}
    if isinstance(of_manager.get("prune"), Mapping):
        of_manager["prune"] = {status: _prune_age(age) for status, age in of_manager["prune"].items()}
    return FlaskSettings(_db(config), given.get("WORKERS", 2), migrate, of_manager)


def age(text: str) -> timedelta:
    """A number and d, h, m or s: 30d, 12h, 90m, 45s. Raises ValueError."""
    match = re.fullmatch("([0-9]{1,9})([dhms])", text)
    if match is None:
        raise ValueError(f"must be a number and d, h, m or s, such as 30d or 12h, not {text!r}")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def _prune_age(given: object) -> object:
    """A config that was read from the environment or a file has no timedelta."""
    if not isinstance(given, str):
        return given
    try:
        return age(given)
    except ValueError as error:
        raise ValueError(f"STEVE_PRUNE: an age {error}") from None


def _db(config: Mapping[str, Any]) -> object:
    if (own := config.get("STEVE_DATABASE_URI")) is not None:
        return own
    uri = config.get("SQLALCHEMY_DATABASE_URI")
    return None if uri is None else without_driver(uri)
