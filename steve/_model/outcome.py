"""What a handler did (an outcome), and what therefore becomes of the job (a verdict). `judge` holds all rules about that.

`_engine/work` makes outcomes and has them judged. `_engine/settle` writes the verdicts. Pure: the random number is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from steve._model.claimed import Claimed
from steve.job import AttemptStatus, Status
from steve.retry import RetryPolicy


class Returned(NamedTuple):
    """The handler returned. `result`: its value as JSON text, or None if it returned None."""

    result: str | None


class Raised(NamedTuple):
    """The handler raised an exception of any kind, `Fail` and `Retry` included."""

    message: str
    details: str | None
    """The traceback. None: the handler raised `Fail` or `Retry` where there was no error."""
    error: BaseException | None = None
    """The exception, for the log. None if printing it fails, or would print too much."""
    error_type: str | None = None
    """Its class, as module.qualname."""
    is_final: bool = False
    """Whether another attempt is of no use: the handler raised `Fail`, or the terms of its registration say so."""
    delay: float | None = None
    """In how many seconds to try again, by `Retry` or by the handler's `retry_delay`. None: the job's policy decides."""


class Unusable(NamedTuple):
    """The payload cannot be decoded, or the result cannot be stored. Another attempt would end in the same way."""

    message: str
    details: str | None = None


class Snoozed(NamedTuple):
    """The handler asked to be called again later."""

    seconds: float
    message: str | None = None
    """Why, for the job's error, which begins with SNOOZED. None: the handler did not say it."""


class CancelRaised(NamedTuple):
    """The handler raised `Cancel`."""

    message: str
    details: str | None
    """The traceback. None: there was no error where it was raised."""


class Overdue(NamedTuple):
    """The job was claimed and must not begin any more, because its `expires_at` has passed."""


class NotBegun(NamedTuple):
    """The job was claimed and not run: it lay in the buffer too long, the manager is stopping, or its type no longer has a
    handler."""


class Completing(NamedTuple):
    """The handler called `run.complete()` in a transaction of its own. If that was committed, the job has completed, whatever
    the handler did afterwards; only the database knows."""

    otherwise: Returned | Raised | Unusable | Snoozed | CancelRaised
    """What the handler did in the end. It counts if the transaction was rolled back."""
    result: str | None
    """What was given to `complete`, as JSON text."""


Outcome = Returned | Raised | Unusable | Snoozed | CancelRaised | Overdue | NotBegun | Completing

_COMPLETED, _SUCCESS = Status.COMPLETED, AttemptStatus.SUCCESS  # to read them of the Enum takes long

SNOOZED = "Snoozed: "
"""How the error of a job begins whose handler has put it off and said why."""

CANCELLED = "steve.Cancelled"
EXPIRED = "steve.Expired"
CRASHED = "steve.Crashed"
"""The `error_type` of attempts that ended otherwise than by what the handler raised. The SQL files have the same words."""


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
    error_type: str | None = None
    completed: Returned | None = None
    """What `run.complete()` has written, if its transaction was committed: then none of the above counts. None: the handler did
    not call it."""
    seconds: float | None = None
    """How long the handler took. None: it did not begin, or nobody measured it."""

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
        size = 100
        if self.result is not None:
            size += len(self.result)
        if self.error is not None:
            size += len(self.error) + len(self.details or "")
        return size

    def completion(self, result: str | None) -> Verdict:
        """What became of the job instead, because the transaction of `run.complete()` was committed."""
        return Verdict(self.job, self.begun, Status.COMPLETED, AttemptStatus.SUCCESS, result, seconds=self.seconds)

    def cancelled(self, error: str) -> Verdict:
        """What became of the job instead, because somebody had asked to cancel it and the handler had not returned: the same as
        settle_jobs.sql writes. `error`: the job's error. The error of the attempt, if it had one, is kept in the details."""
        return self._replace(
            status=Status.CANCELLED,
            attempt_status=AttemptStatus.CANCELLED,
            error=error,
            details=self.details or self.error,
            delay=0.0,
            error_type=CANCELLED,
        )


def judge(job: Claimed, outcome: Outcome, begun: float | None, chance: float = 0.5, seconds: float | None = None) -> Verdict:
    """The verdict on one run of `job`. `chance`, 0 to 1, places a retry within the policy's jitter. `seconds`: how long the
    handler took."""
    if isinstance(outcome, Returned):  # the most frequent outcome; as a case of the match it would take twice as long
        # by position, which is quicker
        return Verdict(job, begun, _COMPLETED, _SUCCESS, outcome.result, None, None, 0.0, None, None, seconds)
    verdict = _judge(job, outcome, begun, chance)
    return verdict if seconds is None else verdict._replace(seconds=seconds)


def _judge(job: Claimed, outcome: Outcome, begun: float | None, chance: float) -> Verdict:
    match outcome:
        case Returned(result):
            return Verdict(job, begun, Status.COMPLETED, AttemptStatus.SUCCESS, result)
        case Raised(message, details, _, error_type, is_final, delay):
            failed = Verdict(job, begun, Status.FAILED, AttemptStatus.ERROR, None, message, details, error_type=error_type)
            if is_final or is_last_attempt(job):
                return failed
            if delay is None:
                delay = _policy(job).delay(attempts_spent(job), chance)
            return failed._replace(status=Status.PENDING, delay=delay)
        case Unusable(message, unusable_details):
            return Verdict(job, begun, Status.FAILED, AttemptStatus.ERROR, error=message, details=unusable_details)
        case Snoozed(seconds, why):
            return Verdict(job, begun, Status.PENDING, None, error=why, delay=seconds)
        case CancelRaised(message, cancel_details):
            return Verdict(
                job, begun, Status.CANCELLED, AttemptStatus.CANCELLED, None, message, cancel_details, error_type=CANCELLED
            )
        case Overdue():
            text = f"Expired: the job had not begun by {job.more().expires_at}"
            return Verdict(job, None, Status.CANCELLED, AttemptStatus.CANCELLED, error=text, error_type=EXPIRED)
        case Completing(otherwise, complete_result):
            return _judge(job, otherwise, begun, chance)._replace(completed=Returned(complete_result))
        case NotBegun():
            return Verdict(job, None, Status.PENDING, None, delay=None)


def attempts_spent(job: Claimed) -> int:
    """How many of its `max_attempts` the job has spent, this attempt included: crashes do not count, and neither do failures
    before it was last retried by hand."""
    return job.attempts - job.crashes - (job.more().forgiven or 0)


def is_last_attempt(job: Claimed) -> bool:
    """Whether the job fails for good if this attempt does."""
    if job.extras is None:  # the common case; this is asked for every run
        return job.attempts - job.crashes >= job.max_attempts
    return attempts_spent(job) >= (job.more().granted or job.max_attempts)


def is_overdue(job: Claimed, seconds: float) -> bool:
    """Whether the job, which was claimed so many seconds ago, must not begin any more. `expires_at` is about the first attempt
    only."""
    if job.extras is None or job.started_at is not None:
        return False
    expires_at = job.more().expiry()
    return expires_at is not None and expires_at <= job.claimed_at + timedelta(seconds=seconds)


def notification(verdicts: Sequence[Verdict]) -> str | None:
    """The payload of the notification that these verdicts need. "back": jobs were given back, so they may be below the
    watermarks. "": some jobs are due at once. None: no notification is needed."""
    if any(verdict.goes_back for verdict in verdicts):
        return "back"
    return "" if any(verdict.due_in == 0 for verdict in verdicts) else None


def _policy(job: Claimed) -> RetryPolicy:
    """The policy that was stored with the job when it was created."""
    return RetryPolicy(job.max_attempts, job.backoff_strategy, job.backoff_base, job.backoff_max, job.backoff_jitter)
