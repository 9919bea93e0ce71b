"""The rules about a job that has ended, one that does not exist, and one whose status this version does not know."""

from __future__ import annotations

from collections.abc import Iterator

from steve._model.why.facts import Facts
from steve._model.why.text import duration, error
from steve.why import Reason


def ended(facts: Facts) -> Iterator[Reason]:
    job = facts.row
    where = job.process or (facts.last.process if facts.last is not None else None)
    by = f" in {where}" if where else ""
    if job.status == "completed":
        yield Reason(
            "ended",
            f"it completed {_when(facts)}{by}, at attempt {max(job.attempts, 1)}",
            "Its result is in find(job).result; retry(job, completed=True) runs it again.",
        )
        return
    crashed = f", and {job.crashes} of its attempts ended with the death of their process" if job.crashes else ""
    yield Reason(
        "ended",
        f"it failed {_when(facts)}{by}, at attempt {max(job.attempts, 1)}{crashed}; the last error was: {error(job.error)}",
        "history(job) has the tracebacks. Correct the cause, and retry(job) makes it pending again.",
    )


def cancelled(facts: Facts) -> Iterator[Reason]:
    job = facts.row
    again = "retry(job) makes it pending again."
    if (job.error or "").startswith("Expired"):
        yield Reason("expired", f"it was cancelled {_when(facts)}, because it had not begun in time: {error(job.error)}", again)
        return
    by = ""
    if facts.canceller is not None:
        probably = ", probably by" if facts.canceller.action == "cancel_all" else " by"
        by = f"{probably} {facts.canceller.actor} with {facts.canceller.action}"
    elif job.cancel_asked_at is None and facts.last is not None and facts.last.status == "cancelled":
        by = f" by its handler, in {facts.last.process}"
    who = by or "; nobody was acting_as() anybody, so it is not known by whom"
    yield Reason("cancelled", f"it was cancelled {_when(facts)}{who}: {error(job.error or 'Cancelled')}", again)


def no_job(facts: Facts) -> Iterator[Reason]:
    yield Reason(
        "no_job",
        "there is no such job: it was deleted or pruned, its transaction is open or was rolled back, or it is in "
        "another schema or database",
        "Look where create() was called with connection=, and at the setting prune= and calls of prune() and delete().",
    )


def unanswered(facts: Facts) -> Iterator[Reason]:
    yield Reason(
        "unanswered",
        f"PostgreSQL did not say within {duration(facts.unanswered or 0.0)} what the job is: a session has locked a table, as "
        "ALTER TABLE and VACUUM FULL do, or the server is overloaded. Nothing is claimed meanwhile",
        "pg_locks and pg_stat_activity show who has locked what; pg_terminate_backend(pid) ends a session.",
    )


def unknown_status(facts: Facts) -> Iterator[Reason]:
    yield Reason(
        "unknown_status",
        f'its status "{facts.row.status}" is not known to this version of steve',
        "Ask with the version of steve that wrote it, or bring this program up to date.",
    )


def _when(facts: Facts) -> str:
    at = facts.row.completed_at
    return "at an unknown time" if at is None else f"{duration(facts.ago(at))} ago, at {at:%Y-%m-%d %H:%M:%S} UTC"
