"""Which failed jobs have the same error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from steve.failures import Failures

ERROR_MOST = 2_000
"""Characters of an error that count."""

Failed = tuple[UUID, str, str, datetime]
"""A failed job: its uid, its type, its error, when it failed."""


_QUOTED = re.compile(r"""(?<!\w)([bru])?('[^'\n]*'|"[^"\n]*")""", re.IGNORECASE)
"""A quote opens where no word goes on: the apostrophe of "can't" opens none."""


def pattern_of(error: str) -> str:
    """The error without what differs from job to job: quoted texts, uuids, numbers."""
    text = _QUOTED.sub(lambda found: f"{found[1] or ''}{found[2][0]}…{found[2][0]}", error)
    text = re.sub(r"\b[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "…", text)
    return re.sub(r"0x[0-9a-fA-F]+|\d+(\.\d+)?", "…", text)


def part_of(error: str) -> str:
    """The longest part of this error, or of this pattern, that all errors of the pattern have, and that a person can type."""
    return max("".join(one if one.isprintable() else "…" for one in error).split("…"), key=len)


def grouped(jobs: Iterable[Failed]) -> list[Failures]:
    """Those with most jobs first. `jobs`: newest first."""
    groups: dict[tuple[str, str], Failures] = {}
    for uid, type, error, at in jobs:
        pattern = pattern_of(error)
        one = groups.get((type, pattern)) or Failures(type, error, 0, at, at, uid, "")
        text = error if error == one.error else pattern
        first, last = min(one.first, at), max(one.last, at)
        groups[type, pattern] = replace(one, error=text, jobs=one.jobs + 1, first=first, last=last)
    ranked = sorted(groups.values(), key=lambda one: -one.jobs)
    return [replace(one, part=part_of(one.error)) for one in ranked]
