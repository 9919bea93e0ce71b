"""The rules about a job that is running: which process holds it, and whether that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from steve._model.why.facts import Facts
from steve._model.why.text import duration, error, held, listed, names, times
from steve.presence import Process, RunningJob
from steve.why import Reason

LATE = 0.5
"""A heartbeat that is older than this part of the lease is late."""


def holder(facts: Facts) -> Iterator[Reason]:
    """One reason, which says where the job is."""
    process = facts.holder
    if process is None:
        yield Reason(
            "orphaned",
            f"process {facts.row.process_id} has held it for {_claimed(facts)} and has no row in the table of processes: "
            "either its last claim arrived after its jobs were rescued, or somebody deleted the row",
            f"Wait: a process that is alive gives it a row, and takes the job when the lease is over. {_rescuers(facts)}",
        )
    elif not process.alive:
        yield _lost(facts, process)
    elif process.heartbeat_age > LATE * process.lease:
        yield Reason(
            "silent",
            f"{process.name}, which has held it for {_claimed(facts)}, has sent no heartbeat for "
            f"{duration(process.heartbeat_age)}: it is stopped, starved or cut off. In "
            f"{duration(process.lease - process.heartbeat_age)} others may take the job",
            f"Look at that process: is it suspended, swapping, or without a network? {_rescuers(facts)}",
        )
    else:
        yield from _held(facts, process)


def _lost(facts: Facts, process: Process) -> Reason:
    silent = duration(process.heartbeat_age)
    if process.heartbeat_age >= process.lease:
        what = f"has sent no heartbeat for {silent}, and its lease of {duration(process.lease)} is over"
    else:
        what = f"seems to be dead: its session in the database is gone, and its last heartbeat was {silent} ago"
    return Reason(
        "lost",
        f"{process.name}, which has held it for {_claimed(facts)}, {what}: others take the job within seconds and run it again",
        f"{_rescuers(facts)} If the handler still runs there, its outcome will be dropped.",
    )


def _rescuers(facts: Facts) -> str:
    others = [process for process in facts.alive() if facts.holder is None or process.id != facts.holder.id]
    return f"{names(others)} will do that." if others else "Start a process: no other one is alive that could do that."


def _held(facts: Facts, process: Process) -> Iterator[Reason]:
    run = next((run for run in process.running if run.uid == facts.uid), None)
    claimed_at = facts.row.claimed_at
    if facts.uid in process.stuck:
        began = duration(facts.ago(run.begun)) if run is not None else _claimed(facts)
        yield Reason(
            "stuck",
            f"its handler in {process.name} began {began} ago and has not returned, long after its timeout; another job runs "
            "in its place",
            "The log of that process has its stack. Nothing but the end of the process stops a handler that does not return.",
        )
    elif run is not None:
        yield from _runs(facts, process, run)
    elif claimed_at is None or process.not_shown or _too_early(facts, process, claimed_at):
        too_early = "" if process.not_shown else ", too early to tell of it"
        yield Reason(
            "running",
            f"{process.name} claimed it {_claimed(facts)} ago; its last heartbeat was {duration(process.heartbeat_age)} "
            f"ago{too_early}",
            "Wait for it; ask again in a few seconds to see whether its handler has begun.",
        )
    elif process.buffered:
        yield Reason(
            "buffered",
            f"{process.name} claimed it {_claimed(facts)} ago and has not begun it, by its heartbeat "
            f"{duration(process.heartbeat_age)} ago: {process.busy} of its {times(process.workers, 'worker')} "
            f"{'was' if process.busy == 1 else 'were'} busy",
            f"Wait: it begins, or goes back after {duration(facts.buffer_age)}, and another process may take it.",
        )
    else:
        yield Reason(
            "unheld",
            f"the tables say that {process.name} has held it for {_claimed(facts)}, but it did not run there at its last "
            f"heartbeat, {duration(process.heartbeat_age)} ago: its outcome waits to be written, or the tables were changed by "
            "hand or by a failover",
            "Wait: an outcome is written as soon as the database takes it; otherwise the process frees the job within its "
            f"lease of {duration(process.lease)}.",
        )
    if process.problems:
        yield Reason(
            "unwell",
            f"{process.name} has problems: {error('; '.join(process.problems))}",
            "See to these problems; health() of that process has them, and its log tells more.",
        )


def _too_early(facts: Facts, process: Process, claimed_at: datetime) -> bool:
    """The process sent its last heartbeat when it may not have known yet that it had the job.

    A heartbeat has the time of its statement, and tells what the process knew before. So a claim that was under way has the
    earlier time, and the heartbeat does not tell of it.
    """
    seconds = (process.heartbeat_at - claimed_at).total_seconds()
    return seconds <= 0 or (not process.buffered and seconds <= 2 * facts.buffer_age)


def _runs(facts: Facts, process: Process, run: RunningJob) -> Iterator[Reason]:
    seconds, timeout = facts.ago(run.begun), facts.row.timeout
    old = duration(process.heartbeat_age)
    text = f"it runs in {process.name}, began {duration(seconds)} ago, and the last heartbeat from there is {old} old"
    if timeout is not None and seconds > timeout:
        yield Reason(
            "overdue",
            f"{text}; its timeout of {duration(timeout)} was over {duration(seconds - timeout)} ago, and the handler has not "
            "noticed",
            "Let the handler look at current_run().check() or remaining(), or register it with interrupt=True.",
        )
    else:
        last = f" {_progress(facts)}" if facts.row.attempts > 1 else ""
        yield Reason("running", text, f"Wait for it; cancel(job) asks it to stop.{last}")


def _progress(facts: Facts) -> str:
    return f"This is attempt {facts.row.attempts}; history(job) has the earlier ones."


def cancel_asked(facts: Facts) -> Iterator[Reason]:
    job = facts.row
    if job.cancel_asked_at is None:
        return
    by = "" if facts.canceller is None else f" by {facts.canceller.actor}"
    why = f" ({error(job.cancel_reason)})" if job.cancel_reason else ""
    yield Reason(
        "cancel_asked",
        f"it was asked to stop{by} {duration(facts.ago(job.cancel_asked_at))} ago{why}, and its handler has not ended yet",
        "The handler must look at current_run().cancelled, or wait with current_run().wait(), and return or raise Cancel.",
    )


def locked(facts: Facts) -> Iterator[Reason]:
    if facts.locked_by:
        yield Reason(
            "locked",
            "its row is locked by an open transaction, so its outcome cannot be written: "
            f"{listed([held(one) for one in facts.locked_by])}",
            "End that transaction; pg_terminate_backend(pid) ends it by force.",
        )


def _claimed(facts: Facts) -> str:
    """For how long it is held."""
    at = facts.row.claimed_at
    return "an unknown time" if at is None else duration(facts.ago(at))
