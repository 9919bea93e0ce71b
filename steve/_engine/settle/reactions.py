"""How the settler reacts to an error, and what it may write instead of an outcome that PostgreSQL cannot hold. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from steve._database.failures import LOCK_NOT_AVAILABLE, DatabaseFailure, InDoubt, Misconfigured, Transient, Unexplained
from steve._model.outcome import Verdict
from steve.job import AttemptStatus, Status


class Reaction(Enum):
    WAIT = "PostgreSQL will take the same group when this is over"
    WAIT_IN_DOUBT = "the same, but this try may have written the group"
    PASS_BY = "somebody has locked the row of a job: write the others, and set that one aside"
    LOOK_CLOSER = "one of the verdicts may be the cause: try fewer at a time"


def reaction_to(error: Exception, *, was_careful: bool = False) -> Reaction:
    """`was_careful`: the locked rows were passed by already, so another lock, of the table for instance, is in the way."""
    if isinstance(error, Transient) and error.sqlstate == LOCK_NOT_AVAILABLE and not was_careful:
        return Reaction.PASS_BY
    if isinstance(error, InDoubt):
        return Reaction.WAIT_IN_DOUBT
    if isinstance(error, Transient | Misconfigured) and not isinstance(error, Unexplained):
        return Reaction.WAIT  # the cause is not in what was sent
    # PostgreSQL refused the group, or failed and did not explain why. Or the error is not PostgreSQL's: a lack of memory, say,
    # or a defect of the driver.
    return Reaction.LOOK_CLOSER


def may_have_been_written(error: Exception) -> bool:
    """Whether the group may be in the database all the same. An error that is not PostgreSQL's may come after the commit."""
    return not isinstance(error, DatabaseFailure)


def is_left_from_another_life(error: Exception) -> bool:
    """Whether an older row of the log is in the way. The key of the log, (job_uid, lease_no), is the only unique key that the
    settler writes."""
    return isinstance(error, DatabaseFailure) and error.sqlstate == "23505"


def reason_of(error: Exception) -> str:
    """Says why a verdict was not written, but without the error's text, in which PostgreSQL quotes the data."""
    state = error.sqlstate if isinstance(error, DatabaseFailure) else None
    return f"PostgreSQL refused it (SQLSTATE {state})" if state else type(error).__name__


def text_of(error: Exception) -> object:
    """For the log."""
    return error if isinstance(error, DatabaseFailure) else reason_of(error)


def without_data(verdict: Verdict, reason: str) -> Iterator[tuple[Verdict, Verdict]]:
    """Yields pairs: the verdict without the data that PostgreSQL may not be able to hold, and the verdict to write if that data
    proves to be the cause.

    An error loses as little of its text as possible, and its job's new status stays the same. A job whose result cannot be
    stored fails.
    """
    if verdict.attempt_status in (AttemptStatus.ERROR, AttemptStatus.CANCELLED):
        what = "the attempt failed" if verdict.attempt_status is AttemptStatus.ERROR else "the job was cancelled"
        text = f"ErrorNotStorable: {what}, but its error cannot be stored: {reason}"
        # The first one is for a database whose encoding is not UTF-8.
        for less in (
            verdict._replace(
                error=_in_ascii(verdict.error), details=_in_ascii(verdict.details), error_type=_in_ascii(verdict.error_type)
            ),
            verdict._replace(error=text, details=None, error_type=_in_ascii(verdict.error_type)),
        ):
            if less != verdict:
                yield less, less
    elif verdict.result is not None:
        text = f"ResultNotStorable: the handler finished, but its result cannot be stored: {reason}"
        failed = Verdict(
            verdict.job, verdict.begun, Status.FAILED, AttemptStatus.ERROR, error=text, completed=verdict.completed
        )
        yield verdict._replace(result=None), failed


def _in_ascii(text: str | None) -> str | None:
    return None if text is None else text.encode("ascii", "backslashreplace").decode()
