"""What a handler did (an outcome), and what therefore becomes of the job (a verdict). All rules about that are in `judge`.

`_engine/work` makes outcomes and has them judged, `_engine/settle` writes the verdicts down. Pure: chance is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from steve._model.claimed import Claimed
from steve.job import AttemptStatus, Status
from steve.retry import RetryPolicy


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
    """The job was claimed and not run: it lay in the buffer too long, the manager stops, or its type has no handler any
    more."""


Outcome = Returned | Raised | Unusable | Snoozed | NotBegun


class Verdict(NamedTuple):
    """What to write about a job that was claimed. The properties say what its fields mean together."""

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
    def is_final(self) -> bool:
        """The job has come to its end."""
        return self.status is not Status.PENDING

    @property
    def counts(self) -> bool:
        """The attempt counts: it stays in the log, and it is one of `max_attempts`."""
        return self.attempt_status is not None

    @property
    def goes_back(self) -> bool:
        """The job is pending again as it was before the claim, due when it was due then."""
        return self.status is Status.PENDING and self.delay is None

    @property
    def due_in(self) -> float | None:
        """Seconds until a job that is to run again is due; None: it is not to run again, or due when it was due before."""
        return self.delay if self.status is Status.PENDING else None

    @property
    def size(self) -> int:
        """Roughly how many bytes this sends to the database."""
        return 100 + len(self.result or "") + len(self.error or "") + len(self.details or "")


def judge(job: Claimed, outcome: Outcome, begun: float | None, chance: float = 0.5) -> Verdict:
    """The verdict on one run of `job`. `chance`, 0 to 1, places a retry within the policy's jitter."""
    if isinstance(outcome, Returned):  # first, since most do: as a case of the match it would take twice as long
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


def notification(verdicts: Sequence[Verdict]) -> str | None:
    """The payload of the notification that these need. "back": jobs were given back, which may lie below the watermarks;
    "": some are due at once; None: no notification."""
    if any(verdict.goes_back for verdict in verdicts):
        return "back"
    return "" if any(verdict.due_in == 0 for verdict in verdicts) else None


def _policy(job: Claimed) -> RetryPolicy:
    """The policy that was stored with the job when it was created."""
    return RetryPolicy(job.max_attempts, job.backoff_strategy, job.backoff_base, job.backoff_max, job.backoff_jitter)
