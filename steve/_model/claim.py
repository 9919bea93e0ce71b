"""What a claim asks for, what it brings, and how the claim of one job is named."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from steve._model.claimed import Claimed


class Lane(NamedTuple):
    """Where a job waits. The jobs of one lane are claimed in the order of (run_at, id)."""

    queue: str
    type: str
    priority: int


Watermark = tuple[datetime, int]
"""(run_at, id) of the last job that was claimed from a lane."""


class Demand(NamedTuple):
    """What a claim asks for."""

    n: int
    """Jobs, at most."""
    mosts: Mapping[str, int]
    """For each type that has a handler or a known duration: how many of it at most."""
    unknown_most: int
    """The same for every other type."""
    any_type: bool
    """Whether other types are served at all."""
    watermarks: Mapping[Lane, Watermark] | None
    """Look only into these lanes, above their watermarks; None: a full scan."""
    crashed: int = 0
    """Besides these: at most so many jobs whose process died while it held them."""
    alone: bool = False
    """True: of the crashed ones only those on their last chance. False: only the others."""


class ClaimReply(NamedTuple):
    """What a claim brought."""

    jobs: list[Claimed]
    """In the order in which they are to begin."""
    next_due_in: float | None
    """Seconds until the next job in the lanes that the claim looked into is due."""
    scan_seconds: float
    """How long the database looked for jobs."""
    heads: dict[Lane, Watermark]
    """After a full scan: the first pending job of every lane that is served, whether it is due or not."""
    last_chance: bool = False
    """A job is due, or was claimed, that will fail if one more process dies while it holds it."""
