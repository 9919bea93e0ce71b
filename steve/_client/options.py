"""Checks the keywords of `create` that few jobs have: a delay, uniqueness, tags, metadata, an expiry, a timeout."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from steve._database.statements.jobs import Options
from steve._model import json as _json
from steve._model.times import check_time
from steve.errors import InvalidJob, shown
from steve.job import NewJob

CONFLICTS = ("return", "raise", "replace")
TAGS_MOST = 32
TAG_MOST = 63
"""Characters of a tag's name."""
TAG_VALUE_MOST = 255
"""Characters of a tag's value."""
METADATA_MOST = 16 << 10
"""Bytes of metadata as JSON."""
UNIQUE_MOST = 255
"""Characters of a key."""
WINDOW_LEAST = 0.001
TIMEOUT_LEAST = 0.001
"""Seconds, as the one above."""
CENTURY = 100 * 366 * 86_400.0

_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
"""An earlier expiry is stored as this day: it is past anyway."""


def options_of(new: NewJob) -> Options | None:
    """The options of the job. None: it has none, as most jobs. Raises InvalidJob for the first one that is wrong."""
    if (
        new.delay is None
        and new.unique is None
        and new.unique_for is None
        and new.tags is None
        and new.metadata is None
        and new.expires_at is None
        and new.expires_in is None
        and new.timeout is None
        and new.on_conflict in (None, "return")
    ):
        return None
    if new.delay is not None and new.run_at is not None:
        raise InvalidJob("delay and run_at do not go together: give one of them")
    if new.expires_in is not None and new.expires_at is not None:
        raise InvalidJob("expires_in and expires_at do not go together: give one of them")
    if new.unique_for is not None and new.unique is None:
        raise InvalidJob("unique_for needs unique: the key that no other job may have for so long")
    tags, metadata = tags_text(new.tags), _metadata(new.metadata)
    on_conflict = _on_conflict(new.on_conflict)
    return Options(
        None if new.delay is None else seconds("delay", new.delay, 0.0),
        _unique(new.unique),
        on_conflict,
        None if new.unique_for is None else seconds("unique_for", new.unique_for, WINDOW_LEAST),
        tags,
        metadata,
        None if new.expires_at is None else max(instant("expires_at", new.expires_at), _FIRST_DAY),
        None if new.expires_in is None else seconds("expires_in", new.expires_in, 0.0),
        None if new.timeout is None else seconds("timeout", new.timeout, TIMEOUT_LEAST),
    )


def tags_text(tags: object) -> str | None:
    """The tags as JSON text, None if there are none. Raises InvalidJob."""
    if tags is None:
        return None
    if not isinstance(tags, Mapping):
        raise InvalidJob(f"tags must be a dict of names to str, int or bool, not {type(tags).__name__}")
    if len(tags) > TAGS_MOST:
        raise InvalidJob(f"tags must have at most {TAGS_MOST} names, not {len(tags)}")
    for name, value in tags.items():
        if not isinstance(name, str):
            raise InvalidJob(f"a tag's name must be a str, not {type(name).__name__}: {shown(name)}")
        if not 1 <= len(name) <= TAG_MOST:
            raise InvalidJob(f"a tag's name must have 1 to {TAG_MOST} characters, not {len(name)}: {shown(name)}")
        if not isinstance(value, str | int):
            raise InvalidJob(f"tags[{shown(name)}] must be a str, an int or a bool, not {type(value).__name__}")
        if isinstance(value, str) and len(value) > TAG_VALUE_MOST:
            raise InvalidJob(f"tags[{shown(name)}] must have at most {TAG_VALUE_MOST} characters, not {len(value)}")
    return _encoded(dict(tags), "tags") if tags else None


def seconds(what: str, value: object, least: float) -> float:
    """A duration in seconds, given as a number or a timedelta. Raises InvalidJob."""
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidJob(f"{what} must be a number of seconds or a timedelta, not {type(value).__name__}")
    else:
        number = value
    if not least <= number <= CENTURY:  # also refuses nan
        raise InvalidJob(f"{what} must be between {least:g} and {CENTURY:.0f} seconds (a century), not {shown(value)}")
    return float(number)


def instant(what: str, at: object) -> datetime:
    """The time in UTC. Raises InvalidJob."""
    try:
        return check_time(what, at)
    except (TypeError, ValueError) as error:
        raise InvalidJob(str(error)) from error.__cause__


def _unique(key: object) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str):
        raise InvalidJob(f"unique must be a str, not {type(key).__name__}")
    if not 1 <= len(key) <= UNIQUE_MOST:
        raise InvalidJob(f"unique must have 1 to {UNIQUE_MOST} characters, not {len(key)}")
    if _json.readable(key) != key:
        raise InvalidJob(f"unique must not contain a NUL character or a lone surrogate: {shown(key)}")
    return str.__str__(key)  # not str(): for a str that is an Enum, it may return another text


def _on_conflict(what: object) -> str:
    if what is None:
        return "return"
    if not isinstance(what, str) or what not in CONFLICTS:
        raise InvalidJob(f'on_conflict must be "return", "raise" or "replace", not {shown(what)}')
    return str.__str__(what)


def _metadata(metadata: object) -> str | None:
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise InvalidJob(f"metadata must be a dict with str keys (a JSON object), not {type(metadata).__name__}")
    if not metadata:
        return None
    text = _encoded(metadata, "metadata")
    if (size := _json.size(text)) > METADATA_MOST:
        raise InvalidJob(f"metadata has {size} bytes as JSON, more than {METADATA_MOST}")
    return text


def _encoded(value: object, what: str) -> str:
    try:
        return _json.encode(value, what)
    except _json.NotStorable as flaw:
        raise InvalidJob(str(flaw)) from None
    except Exception as error:  # a subclass of dict may raise anything
        raise InvalidJob(f"{what} cannot be read: {type(error).__name__[:60]}") from error
