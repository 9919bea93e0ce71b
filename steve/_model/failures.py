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


def pattern_of(error: str) -> str:
    """The error without what differs from job to job: quoted texts, uuids, numbers."""
    text = re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", "'…'", error)
    text = re.sub(r"\b[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "…", text)
    return re.sub(r"0x[0-9a-fA-F]+|\d+(\.\d+)?", "…", text)


def grouped(jobs: Iterable[Failed]) -> list[Failures]:
    """Those with most jobs first. `jobs`: newest first."""
    groups: dict[tuple[str, str], Failures] = {}
    for uid, type, error, at in jobs:
        key = type, pattern_of(error)
        one = groups.get(key) or Failures(type, error, 0, at, at, uid)
        groups[key] = replace(one, jobs=one.jobs + 1, first=min(one.first, at), last=max(one.last, at))
    return sorted(groups.values(), key=lambda one: -one.jobs)
