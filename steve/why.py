"""Why: what keeps a job from running, or what became of it. `JobManager.why()` returns it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from steve.job import Status


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps the job from running now, or that says what became of it."""

    code: str
    """One word for programs, such as `no_handler`. The documentation lists them all."""
    text: str
    """What it is, in a sentence for people."""
    remedy: str
    """What to do about it, in a sentence for people."""

    def __str__(self) -> str:
        return f"{self.code}: {self.text}\n    {self.remedy}"


@dataclass(frozen=True, slots=True)
class Why:
    """The answer about one job, as the database and the last heartbeats had it. `str()` makes one text of it."""

    uid: UUID
    status: Status | str | None
    """None: there is no such job, or the database did not say."""
    reasons: tuple[Reason, ...]
    """At least one. The one that decides comes first."""
    type: str | None = None
    queue: str | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(reason.code for reason in self.reasons)

    def __str__(self) -> str:
        what = (
            f"job {self.uid}" if self.status is None else f"job {self.uid} ({self.type}, queue {self.queue}) is {self.status}"
        )
        return "\n".join([what, *(f"  {reason}" for reason in self.reasons)])
