"""What a process says of itself with each heartbeat, in the column `info` of its row, and how a row becomes a Process. Pure.

The text must never keep a heartbeat from being written, so it has a limited size and only characters that PostgreSQL can hold.
Rows may come from other versions of steve, or from people, so a value that is missing or is not what it should be is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from steve._model.json import readable
from steve.presence import Pool, Process

T = TypeVar("T")

RUNNING_MOST = 50
NAMES_MOST = 16_384
"""How many characters the names of types, or of queues, may have together."""
PROBLEMS_MOST = 10
PROBLEM_MOST = 300
"""Characters."""


class Run(NamedTuple):
    """A job that runs."""

    uid: UUID
    type: str
    seconds: float
    """For how long."""


class Presence(NamedTuple):
    """As the fields of Process."""

    pools: Sequence[Pool]
    types: Sequence[str]
    any_type: bool
    max_crashes: int
    runs: Sequence[Run] = ()
    """In any order, and as many as there are."""
    buffered: int = 0
    stuck: Sequence[UUID] = ()
    alone: bool = False
    quiet: bool = False
    stopping: bool = False
    problems: Sequence[str] = ()
    pace: float | None = None
    scan_seconds: float | None = None


def text_of(presence: Presence, *, ascii: bool = False) -> str:
    """As JSON. `ascii`: the database's encoding is not UTF-8, so names appear in it as they do in Python's source."""
    first = sorted(presence.runs, key=lambda run: -run.seconds)[:RUNNING_MOST]
    types = _named(presence.types)
    info: dict[str, Any] = {
        "pools": [
            {
                "queues": None if pool.queues is None else _named(pool.queues),
                "excluded": _named(pool.excluded),
                "workers": pool.workers,
                "busy": pool.busy,
            }
            for pool in presence.pools
        ],
        "types": types,
        "any_type": presence.any_type or len(types) < len(presence.types),
        "max_crashes": presence.max_crashes,
        "running": [[run.uid.hex, run.type, round(run.seconds, 3)] for run in first],
        "not_shown": len(presence.runs) - len(first),
        "buffered": presence.buffered,
        "stuck": [uid.hex for uid in presence.stuck[:RUNNING_MOST]],
        "alone": presence.alone,
        "quiet": presence.quiet,
        "stopping": presence.stopping,
        "problems": [problem[:PROBLEM_MOST] for problem in presence.problems[:PROBLEMS_MOST]],
        "pace": None if presence.pace is None else round(presence.pace, 2),
        "scan_seconds": None if presence.scan_seconds is None else round(presence.scan_seconds, 4),
    }
    info = _mapped(info, lambda text: in_ascii(readable(text)) if ascii else readable(text))
    return json.dumps(info, ensure_ascii=False, separators=(",", ":"))


class ProcessRow(NamedTuple):
    """The fields have the order of the columns in list_processes.sql."""

    id: int
    name: str
    version: str
    started_at: datetime
    heartbeat_at: datetime
    heartbeat_age: float
    lease: float
    suspected: bool
    info: str | None
    """The JSON text of the column; None: it has none."""


def process_of(row: ProcessRow, runs: str | None = None) -> Process:
    """`runs`: the JSON text of the field `running`, if the column's comes without it."""
    said = _decoded(row.info)
    return Process(
        row.id,
        row.name,
        row.version,
        row.started_at.astimezone(UTC),
        row.heartbeat_at.astimezone(UTC),
        row.heartbeat_age,
        row.lease,
        alive=not row.suspected and row.heartbeat_age < row.lease,
        quiet=said.get("quiet") is True,
        stopping=said.get("stopping") is True,
        pools=tuple(_each(said.get("pools"), _pool)),
        types=tuple(_each(said.get("types"), _text)),
        any_type=said.get("any_type") is True,
        not_shown=_count(said.get("not_shown")),
        buffered=_count(said.get("buffered")),
        stuck=tuple(_each(said.get("stuck"), UUID)),
        alone=said.get("alone") is True,
        problems=tuple(_each(said.get("problems"), _text)),
        pace=_number(said.get("pace")),
        scan_seconds=_number(said.get("scan_seconds")),
        max_crashes=_count(said.get("max_crashes")) or None,
        _running=said.get("running") if runs is None else runs,
    )


def _named(names: Iterable[str]) -> list[str]:
    """The first of these names, as many as fit."""
    left, named = NAMES_MOST, []
    for name in names:
        left -= len(name)
        if left < 0:
            break
        named.append(name)
    return named


def in_ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """The value with `change` made to each text in it; the keys are ours."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    return value


def _decoded(info: str | None) -> dict[str, Any]:
    try:
        said = json.loads(info or "{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _each(items: object, make: Callable[[Any], T]) -> Iterable[T]:
    for item in items if isinstance(items, list) else ():
        try:
            yield make(item)
        except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
            pass  # another version of steve, or somebody, wrote something else


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0


def _number(value: object) -> float | None:
    return float(value) if type(value) in (int, float) and value >= 0 else None  # type: ignore[arg-type, operator]


def _pool(pool: dict[str, Any]) -> Pool:
    queues = pool["queues"]
    return Pool(
        None if queues is None else tuple(map(_text, queues)),
        tuple(map(_text, pool.get("excluded") or ())),
        _count(pool["workers"]),
        _count(pool["busy"]),
    )
