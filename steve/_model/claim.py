"""What a claim asks for (Demand) and what it brings (ClaimReply); and the lanes that it looks into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from steve._model.claimed import Claimed
from steve._model.pauses import Paused

Watermark = tuple[datetime, UUID]
"""(run_at, uid): how far this process has looked through the jobs of one priority, which are claimed in this order."""


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
    watermarks: Mapping[int, Watermark] | None
    """The priorities to look at, each only above its watermark. None: a full scan."""
    crashed: int = 0
    """How many crashed jobs, at most, besides the `n`."""
    alone: bool = False
    """True: the claim takes crashed jobs only if they are on their last chance. False: it takes only the others."""
    lower_too: bool = False
    """After the priorities that have a watermark, look at all lower ones too, each from its beginning."""
    fleet_lock: bool = False
    """Look for jobs only if no other process claims under the fleet's lock at this moment."""
    paused: Sequence[Paused] = ()
    """The jobs that are left out."""
    peek: bool = False
    """Look first whether any job at all is due. If none is, that look is the whole claim."""


class ClaimReply(NamedTuple):
    """What a claim brought."""

    jobs: list[Claimed]
    """The jobs, in the order in which they are to begin."""
    next_due_in: float | None
    """Seconds until the next job of these priorities comes due, at the latest: it may be the job of another process."""
    scan_seconds: float
    """How long the database searched for jobs."""
    ends: dict[int, Watermark | None]
    """For each priority that the claim looked through to its end: the last due job above the watermark, which may be one that
    this process does not serve. None: there is none."""
    left_over: list[tuple[int, Watermark]] = []  # noqa: RUF012
    """The priority and place of each job that the claim passed over because enough jobs of its type were claimed."""
    cut_off: bool = False
    """`n` ended the claim, rather than the lack of due jobs."""
    last_chance: bool = False
    """Whether a job on its last chance, which one more crash would fail, is due or was claimed."""
    refused: bool = False
    """Another process had the fleet's lock, so nothing was looked for."""

    def found_nothing(self) -> bool:
        """Where the claim looked no job was due, whoever serves it."""
        return not self.jobs and not any(self.ends.values())
