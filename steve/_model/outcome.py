"""What a handler did (an outcome), and what therefore becomes of the job (a verdict). `judge` holds all rules about that.

`_engine/work` makes outcomes and has them judged. `_engine/settle` writes the verdicts. Pure: the random number is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from steve._model.claimed import Claimed
from steve.job import AttemptStatus, Status
from steve.retry import RetryPolicy


class Returned(NamedTuple):
    """The handler returned. `result`: its value as JSON text, or None if it returned None."""

    result: str | None


class Raised(NamedTuple):
    """The handler raised an exception of any kind."""

    message: str
    details: str
    error: BaseException | None = None
    """The exception, for the log. None if printing it fails, or would print too much."""


class Unusable(NamedTuple):
    """The payload cannot be decoded, or the result cannot be stored. Another attempt would end in the same way."""

    message: str
    details: str | None = None


class Snoozed(NamedTuple):
    """The handler asked to be called again later."""

    seconds: float


class NotBegun(NamedTuple):
    """The job was claimed and not run: it lay in the buffer too long, the manager is stopping, or its type no longer has a
    handler."""


Outcome = Returned | Raised | Unusable | Snoozed | NotBegun


class Verdict(NamedTuple):
    """What to write about a job that was claimed. The properties say what the fields mean together."""

    job: Claimed
    begun: float | None
    """When the run began, by time.monotonic(). None: it did not begin."""
    status: Status
    attempt_status: AttemptStatus | None
    """None: the attempt does not count."""
    result: str | None = None
    error: str | None = None
    details: str | None = None
    delay: float | None = 0.0
    """Seconds until a pending job is due. None: it keeps the due time that it had before the claim."""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.status is not Status.PENDING

    @property
    def counts(self) -> bool:
        """Whether the attempt counts: then it gets a row in the log, and is one of `max_attempts`."""
        return self.attempt_status is not None

    @property
    def goes_back(self) -> bool:
        """Whether the job is given back: it is pending again, and keeps the due time that it had before the claim."""
        return self.status is Status.PENDING and self.delay is None

    @property
    def due_in(self) -> float | None:
        """Seconds until the job is due again. None: it will not run again, or it keeps its due time."""
        return self.delay if self.status is Status.PENDING else None

    @property
    def size(self) -> int:
        """Roughly how many bytes the verdict takes in the statement."""
        return 100 + len(self.result or "") + len(self.error or "") + len(self.details or "")


def judge(job: Claimed, outcome: Outcome, begun: float | None, chance: float = 0.5) -> Verdict:
    """The verdict on one run of `job`. `chance`, 0 to 1, places a retry within the policy's jitter."""
    if isinstance(outcome, Returned):  # the most frequent outcome; as a case of the match it would take twice as long
        return Verdict(job, begun, Status.COMPLETED, AttemptStatus.SUCCESS, outcome.result)
    match outcome:
        case Raised(message, details, _):
            failures, most = _failures(job)
            if failures >= most:
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
    """The payload of the notification that these verdicts need. "back": jobs were given back, so they may be below the
    watermarks. "": some jobs are due at once. None: no notification is needed."""
    if any(verdict.goes_back for verdict in verdicts):
        return "back"
    return "" if any(verdict.due_in == 0 for verdict in verdicts) else None


def _failures(job: Claimed) -> tuple[int, int]:
    """How often the job has failed if this attempt did, and how often it may, both since it was last retried by hand."""
    failures = job.attempts - job.crashes
    if job.extras is None:
        return failures, job.max_attempts
    more = job.more()
    return failures - (more.forgiven or 0), more.granted or job.max_attempts


def _policy(job: Claimed) -> RetryPolicy:
    """The policy that was stored with the job when it was created."""
    return RetryPolicy(job.max_attempts, job.backoff_strategy, job.backoff_base, job.backoff_max, job.backoff_jitter)
