"""The rules about a job that is pending: what keeps processes from claiming it."""

from __future__ import annotations

from collections.abc import Iterator

from steve._model.outcome import SNOOZED
from steve._model.why.facts import Facts
from steve._model.why.text import are, duration, error, held, listed, names, times
from steve.why import Reason

HORIZON_SECONDS = 60.0
"""A transaction that has been open for so long is named even if nothing seems slow yet."""
LOCK_SECONDS = 1.0
READY_SECONDS = 5.0


def expired(facts: Facts) -> Iterator[Reason]:
    job = facts.row
    if job.expires_at is not None and job.started_at is None and job.expires_at <= facts.now:
        yield Reason(
            "expired",
            f"it had to begin by {job.expires_at:%Y-%m-%d %H:%M:%S} UTC, {duration(facts.ago(job.expires_at))} ago, and has "
            "not: within seconds it will be cancelled",
            "Create it again with a later expires_at, or retry(job) it when it is cancelled.",
        )


def not_due(facts: Facts) -> Iterator[Reason]:
    job = facts.row
    if facts.is_due():
        return
    left = f"in {duration(-facts.ago(job.run_at))}, at {job.run_at:%Y-%m-%d %H:%M:%S} UTC"
    remedy = "Wait, or make it due now with reschedule(job, delay=0)."
    if job.started_at is None:
        yield Reason("not_due", f"it is due {left}", remedy)
    elif job.error is None:
        yield Reason("snoozed", f"its handler has put it off: it is due again {left}", remedy)
    elif job.error.startswith(SNOOZED):
        said = error(job.error.removeprefix(SNOOZED))
        yield Reason("snoozed", f"its handler has put it off, because {said}: it is due again {left}", remedy)
    else:
        yield Reason(
            "retry",
            f"attempt {max(job.attempts - job.crashes, 1)} of {job.max_attempts} failed, and the next is due {left}; "
            f"the error was: {error(job.error)}",
            f"Correct the cause; history(job) has the traceback. {remedy}",
        )


def paused(facts: Facts) -> Iterator[Reason]:
    job = facts.row
    for pause in facts.pauses_of(job.queue, job.type):
        parts = [
            f'type "{pause.type}"' if pause.type is not None else "",
            f'queue "{pause.queue}"' if pause.queue is not None else "",
        ]
        what = " in ".join(filter(None, parts)) or "everything"
        by = f" by {pause.by}" if pause.by else ""
        until = f", until {pause.until:%Y-%m-%d %H:%M:%S} UTC" if pause.until is not None else ""
        why = f": {error(pause.reason)}" if pause.reason else ""
        arguments = [f"{name}={value!r}" for name, value in (("queue", pause.queue), ("type", pause.type)) if value is not None]
        yield Reason(
            "paused",
            f"{what} was paused{by} {duration(facts.ago(pause.since))} ago{until}{why}",
            f"resume({', '.join(arguments)}) lets it run.",
        )


def no_process(facts: Facts) -> Iterator[Reason]:
    if facts.alive():
        return
    gone = f"; {names(facts.processes)} {are(facts.processes, 'was', 'were')} the last" if facts.processes else ""
    yield Reason(
        "no_process",
        f"no process that is alive works on this schema{gone}",
        "Start one that has a handler for it, with manager.start() or manager.run().",
    )


def no_handler(facts: Facts) -> Iterator[Reason]:
    alive, type = facts.alive(), facts.row.type
    if not alive or facts.with_handler():
        return
    lately = ""
    silent = [process for process in facts.processes if not process.alive and process.has_handler(type)]
    if silent:
        age = duration(silent[0].heartbeat_age)
        lately = f"; {silent[0].name} had one, and has sent no heartbeat for {age}"
    elif facts.served is not None:
        lately = f"; {facts.served.process} had one {duration(facts.ago(facts.served.at))} ago"
    elif facts.last is not None:
        lately = f"; {facts.last.process} had one when it ran this job, {duration(facts.ago(facts.last.completed_at))} ago"
    else:
        lately = ", and none is known to have had one"
    yield Reason(
        "no_handler",
        f'no process that is alive has a handler for "{type}"{lately}; {names(alive)} {are(alive)} alive',
        f'Start a process that registers one, with @manager.handler("{type}"), or correct the type. '
        "A handler that was set a moment ago counts from the next heartbeat of its process on.",
    )


def no_queue(facts: Facts) -> Iterator[Reason]:
    able = facts.with_handler()
    if able and not facts.servers():
        queue = facts.row.queue
        yield Reason(
            "no_queue",
            f'no process that has a handler for "{facts.row.type}" works on the queue "{queue}": '
            f"{names(able)} {are(able, 'has', 'have')} a handler and {are(able, 'serves', 'serve')} other queues",
            f'Start a process that works on the queue "{queue}", or correct the queue of the job.',
        )


def quiet(facts: Facts) -> Iterator[Reason]:
    servers = facts.servers()
    if servers and not facts.takers():
        what = listed([f"{process.name} ({'is stopping' if process.stopping else 'is quiet'})" for process in servers])
        yield Reason(
            "quiet",
            f"the processes that would run it claim no more jobs: {what}",
            "Start another process, as a deploy does next. A process that was made quiet claims again when it is told to.",
        )


def unwell(facts: Facts) -> Iterator[Reason]:
    takers = facts.takers()
    if takers and all(process.problems for process in takers):
        yield Reason(
            "unwell",
            f"all processes that would run it have problems: {takers[0].name}: {error('; '.join(takers[0].problems))}",
            "See to these problems; health() of each process has them, and its log tells more.",
        )


def suspect(facts: Facts) -> Iterator[Reason]:
    job, takers = facts.row, facts.takers()
    if not job.crashes:
        return
    most = min((process.max_crashes for process in takers if process.max_crashes), default=3)
    died = "a process" if job.crashes == 1 else f"{job.crashes} processes"
    died += " died while holding it"
    remedy = "If its handler kills processes (memory, C extensions), correct it, or cancel(job)."
    if job.crashes + 1 < most:
        yield Reason(
            "suspect",
            f"it is suspected to kill processes, because {died}: it is claimed only when a worker is idle",
            remedy,
        )
        return
    busy = [process for process in takers if process.busy or process.buffered]
    if busy:
        what = listed([f"{process.name} ({times(process.busy, 'job')} running)" for process in busy])
        wait = f"{what} must fall idle first"
    else:
        wait = f"{names(takers)} {are(takers)} idle and will take it" if takers else "no process takes it at present"
    yield Reason(
        "suspect",
        f"it is suspected to kill processes, because {died}, and one more death would fail it: so it runs alone in a process, "
        f"and {wait}",
        f"{remedy} A process falls idle by itself: while such a job is due, it begins nothing else.",
    )


def alone(facts: Facts) -> Iterator[Reason]:
    takers = facts.takers()
    if takers and all(process.alone for process in takers) and not facts.row.crashes:
        yield Reason(
            "alone",
            "another job, which would fail if one more process died while it held it, runs alone or waits for that in "
            f"{names(takers)}: nothing else begins there",
            "Wait for that job, or cancel it: it is the one whose `crashes` is highest. More processes help, too.",
        )


def behind(facts: Facts) -> Iterator[Reason]:
    if facts.ahead is None or not facts.takers():
        return
    takers = facts.takers()
    pools = {(frozenset(facts.kinds.get(one.id, ())), one.any_type, one.pools): (one, facts.pool(one)) for one in takers}

    def comes_first(queue: str, type: str) -> bool:
        """Whether some pool claims such jobs and would run this one, too."""
        is_served = any(
            (any_type or type in types) and one.pool_for(queue) is pool for (types, any_type, _), (one, pool) in pools.items()
        )
        return is_served and not facts.pauses_of(queue, type)

    count = sum(number for lane, number in facts.ahead.lanes.items() if comes_first(*lane))
    if not count:
        if facts.ahead.capped:
            yield Reason(
                "behind",
                f"the first {times(sum(facts.ahead.lanes.values()), 'job')} that are due before it are paused or for other "
                "workers, and nobody has counted how many come after these and before it",
                "Wait, or give it a higher priority with set_priority(job, ...).",
            )
        return
    pace = sum(process.pace or 0.0 for process in takers)
    capped = facts.ahead.capped
    if pace > 0.01:
        time = f"{'more than' if capped else 'about'} {duration(count / pace)}"
        when = f"at the fleet's pace of {pace:,.1f} jobs a second that takes {time}"
    else:
        when = "none has ended lately, so nobody can tell how long that takes"
    yield Reason(
        "behind",
        f"{'more than ' if capped else ''}{times(count, 'job')} that {'is' if count == 1 else 'are'} due before it must be "
        f"claimed first; {when}",
        "Wait, give it a higher priority with set_priority(job, ...), or start more processes or workers.",
    )


def busy(facts: Facts) -> Iterator[Reason]:
    takers = facts.takers()
    if not takers or not facts.is_due():
        return
    pools = [(process, facts.pool(process)) for process in takers]
    if any(pool.busy < pool.workers for _, pool in pools):
        return
    what = listed([f"{process.name} ({pool.busy} of {pool.workers})" for process, pool in pools])
    runs = sorted((run for process in takers for run in process.running), key=lambda run: run.begun)
    longest = ""
    if runs:
        longest = (
            f"; the job that runs for longest, {runs[0].uid} ({runs[0].type}), began {duration(facts.ago(runs[0].begun))} ago"
        )
    yield Reason(
        "busy",
        f"all workers that would run it are busy: {what}{longest}",
        "Wait, or start more workers or processes. A queue with workers of its own keeps long jobs from holding up short ones.",
    )


def locked(facts: Facts) -> Iterator[Reason]:
    if facts.locked_by:
        yield Reason(
            "locked",
            f"its row is locked by an open transaction, so claims pass it by: {listed([held(one) for one in facts.locked_by])}",
            "End that transaction; pg_terminate_backend(pid) ends it by force.",
        )


def claim_lock(facts: Facts) -> Iterator[Reason]:
    lock = facts.claim_lock
    if lock is not None and (lock.seconds is None or lock.seconds >= LOCK_SECONDS):
        yield Reason(
            "claim_lock",
            f"four or more processes claim one at a time, and a session has held their lock for long: {held(lock)}",
            "If that session is stuck, end it with pg_terminate_backend(pid). After ten seconds without a turn, a process "
            "claims all the same.",
        )


def snapshot(facts: Facts) -> Iterator[Reason]:
    if not facts.horizon:
        return
    scans = [process.scan_seconds for process in facts.takers() if process.scan_seconds is not None]
    slowest = max(scans, default=0.0)
    oldest = max((one.seconds for one in facts.horizon if one.seconds is not None), default=0.0)
    if slowest <= facts.slow_scan and oldest < HORIZON_SECONDS:
        return
    slow = f" (a full scan takes {slowest * 1000:,.0f} ms)" if slowest > facts.slow_scan else ""
    yield Reason(
        "snapshot",
        f"something keeps PostgreSQL from removing dead rows, which slows claims{slow}: "
        f"{listed([held(one) for one in facts.horizon])}",
        "End the transaction, with COMMIT PREPARED or ROLLBACK PREPARED if it is prepared; drop a replication slot that "
        "nothing uses.",
    )


def ready(facts: Facts) -> Iterator[Reason]:
    """The last resort, if no other rule has found anything."""
    late = facts.ago(facts.row.run_at)
    takers = facts.takers()
    text = f"nothing keeps it from running: it has been due for {duration(late)}, and {names(takers)} will soon claim it"
    if late <= READY_SECONDS:
        yield Reason("ready", text, "Ask again in a second if it has not begun by then.")
    else:
        yield Reason(
            "ready",
            text,
            "It should have begun: look at health() and at the log of these processes. If the job was made in a transaction, "
            "that may have been committed only now.",
        )
