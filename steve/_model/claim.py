"""What a claim asks for, what it brings, and how the claim of one job is named."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from steve._model.claimed import Claimed

Watermark = tuple[datetime, int]
"""(run_at, id): how far this process has looked through the jobs of one priority, which are claimed in this order."""


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
    watermarks: Mapping[int, Watermark] | None
    """Look only at these priorities, above their watermarks; None: a full scan."""
    crashed: int = 0
    """Besides these: at most so many jobs whose process died while it held them."""
    alone: bool = False
    """True: of the crashed ones only those on their last chance. False: only the others."""


class ClaimReply(NamedTuple):
    """What a claim brought."""

    jobs: list[Claimed]
    """In the order in which they are to begin."""
    next_due_in: float | None
    """Seconds until the next job of the priorities that the claim looked at is due, or earlier."""
    scan_seconds: float
    """How long the database looked for jobs."""
    ends: dict[int, Watermark | None]
    """For each priority that the claim looked through to its end: the last due job above the watermark, which may be one that
    this process does not serve. None: there is none."""
    left_over: list[tuple[int, Watermark]] = []  # noqa: RUF012
    """The priority and place of each job that was passed over because enough of its type were claimed."""
    cut_off: bool = False
    """`n` ended the claim, rather than the lack of due jobs."""
    last_chance: bool = False
    """A job is due, or was claimed, that will fail if one more process dies while it holds it."""
