"""What a claim asks for (Demand) and what it brings (ClaimReply); and the lanes that it looks into."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from steve._model.claimed import Claimed


class Lane(NamedTuple):
    """Where a job waits: its queue, type and priority. The jobs of one lane are claimed in the order of (run_at, id)."""

    queue: str
    type: str
    priority: int


Watermark = tuple[datetime, int]
"""The (run_at, id) of the last job that was claimed from a lane."""


class Demand(NamedTuple):
    """What a claim asks for."""

    n: int
    """How many jobs, at most."""
    mosts: Mapping[str, int]
    """How many jobs of each type, at most. It names the types that have a handler or a known duration."""
    unknown_most: int
    """How many jobs of any other type, at most."""
    any_type: bool
    """Whether jobs of other types are claimed at all."""
    watermarks: Mapping[Lane, Watermark] | None
    """The lanes to look into, each only above its watermark. None: a full scan."""
    crashed: int = 0
    """How many crashed jobs, at most, besides the `n`."""
    alone: bool = False
    """True: the claim takes crashed jobs only if they are on their last chance. False: it takes only the others."""


class ClaimReply(NamedTuple):
    """What a claim brought."""

    jobs: list[Claimed]
    """The jobs, in the order in which they are to begin."""
    next_due_in: float | None
    """Seconds until the next job comes due in the lanes that the claim looked into."""
    scan_seconds: float
    """How long the database searched for jobs."""
    heads: dict[Lane, Watermark]
    """After a full scan: the place of the first pending job in each lane that is served, whether the job is due or not."""
    last_chance: bool = False
    """Whether a job on its last chance, which one more crash would fail, is due or was claimed."""
