"""Outcome -> Verdict: what a handler did, and what therefore becomes of the job. Every rule about that stands in `judge`.

`_run` makes outcomes, `_worker` has them judged, `_settle` writes the verdicts down. Pure: chance comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .job import AttemptStatus, Claimed, Status
from .retry import RetryPolicy


class Returned(NamedTuple):
    """The handler returned; `result` is JSON text, None for None."""

    result: str | None


class Raised(NamedTuple):
    """The handler raised, whatever it was."""

    message: str
    details: str
    error: BaseException | None = None
    """For the log; None where printing it could take any time or space."""


class Unusable(NamedTuple):
    """The payload cannot be decoded, or the result cannot be stored. Trying again would end the same way."""

    message: str
    details: str | None = None


class Snoozed(NamedTuple):
    """The handler asked to be called again later."""

    seconds: float


class NotBegun(NamedTuple):
    """Claimed, but not run: it lay in the hand too long, the manager stops, or the type has no handler any more."""


Outcome = Returned | Raised | Unusable | Snoozed | NotBegun


class Verdict(NamedTuple):
    """What to write about a job that was run."""

    job: Claimed
    begun: float | None
    """When the run began, by time.monotonic(); None: it did not."""
    status: Status
    attempt_status: AttemptStatus | None
    """None: the attempt does not count."""
    result: str | None = None
    error: str | None = None
    details: str | None = None
    delay: float | None = 0.0
    """Seconds until a pending job is due; None: as before."""

    @property
    def size(self) -> int:
        """Roughly how many bytes this sends to the database."""
        return 100 + len(self.result or "") + len(self.error or "") + len(self.details or "")


def judge(job: Claimed, outcome: Outcome, begun: float | None, chance: float = 0.5) -> Verdict:
    """The verdict on one run of `job`. `chance`, 0 to 1, places a retry within the policy's jitter."""
    if isinstance(outcome, Returned):  # most did, and the first case of a match would take twice as long
        return Verdict(job, begun, Status.COMPLETED, AttemptStatus.SUCCESS, outcome.result)
    match outcome:
        case Raised(message, details, _):
            failures = job.attempts - job.crashes
            if failures >= job.max_attempts:
                return Verdict(job, begun, Status.FAILED, AttemptStatus.ERROR, error=message, details=details)
            delay = _policy(job).delay(failures, chance)
            return Verdict(job, begun, Status.PENDING, AttemptStatus.ERROR, error=message, details=details, delay=delay)
        case Unusable(message, unusable_details):
            return Verdict(job, begun, Status.FAILED, AttemptStatus.ERROR, error=message, details=unusable_details)
        case Snoozed(seconds):
            return Verdict(job, begun, Status.PENDING, None, delay=seconds)
        case NotBegun():
            return Verdict(job, None, Status.PENDING, None, delay=None)


def hint(verdicts: Sequence[Verdict]) -> str | None:
    """What to notify with these: that jobs were given back, anywhere in their lanes; or only that some are due at once."""
    pending = [verdict.delay for verdict in verdicts if verdict.status is Status.PENDING]
    return "back" if None in pending else "" if 0 in pending else None


def _policy(job: Claimed) -> RetryPolicy:
    """What was promised at `create`, in whatever process."""
    return RetryPolicy(job.max_attempts, job.backoff_strategy, job.backoff_base, job.backoff_max, job.backoff_jitter)
