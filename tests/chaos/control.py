"""Calls that cancel, retry, reschedule and delete jobs at any moment of their lives, while processes are killed."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from steve import Job, JobManager, NotPossible

from .faults import Site, fault

QUICK: dict[str, Any] = {"lease": 3.0, "heartbeat": 0.5}
KILL_EVERY = 100
WINDOW = 30
"""The calls are about the jobs created last: these are pending, running, or have just ended."""
WEIGHTS = {"cancel": 8, "retry": 5, "retry completed": 2, "reschedule": 2, "set_priority": 1, "delete": 1, "retry_all": 1}


class Answer(NamedTuple):
    """What a call about a job was answered, and when it was sent and answered."""

    call: str
    status: str
    sent: float
    answered: float


@fault(
    "K1", "cancel, retry, reschedule, set_priority and delete against claims, settlements and rescues", trial="a call",
    short=200, long=2000,
    expects="a cancelled job does not begin until it is retried; a retried one runs again; the log has each run",
)  # fmt: skip
def meddle(site: Site) -> None:
    site.work(2, workers=4, manager=site.patient(QUICK))
    site.create(threads=1, every=0.05)
    manager = JobManager(site.conninfo(), schema=site.schema)
    answers: dict[str, list[Answer]] = defaultdict(list)
    jobs: list[tuple[str, Job]] = []
    counts: Counter[str] = Counter()
    try:
        for number in site.each_trial():
            k = f"steered-{number}"
            site.steered.add(k)
            payload = {"k": k, "ms": site.chance.uniform(0.0, 10.0), "raises": site.chance.choice([0, 0, 1, 9])}
            due = datetime.now(UTC) + timedelta(seconds=site.chance.uniform(-0.01, 0.02))  # so that some calls meet the claim
            jobs.append((k, manager.create("a", payload, max_attempts=2, backoff_strategy="none", run_at=due, queue="steered")))
            site.pause(0.0, 0.01)
            call = site.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            about, job = site.chance.choice(jobs[-3:] if call == "cancel" else jobs[-WINDOW:])
            sent = time.monotonic()
            status = _call(manager, call, job)
            answers[about].append(Answer(call, status, sent, time.monotonic()))
            counts[f"{call}: {status}"] += 1
            if number % KILL_EVERY == KILL_EVERY // 2:
                worker = site.chance.choice(site.workers)
                site.kill(worker)
                site.respawn(worker).answer()
        site.stop_creators()
        site.drain()
        site.notes["answers"] = dict(sorted(counts.items()))
        _check(site, manager, jobs, answers)
    finally:
        manager.stop()


def _call(manager: JobManager, call: str, job: Job) -> str:
    """The status of the job afterwards."""
    if call == "retry_all":
        manager.retry_all(status="failed", queue="steered", limit=1, created_after=job.created_at)
        return "some job"
    try:
        match call:
            case "cancel":
                changed = manager.cancel(job, "chaos")
            case "retry":
                changed = manager.retry(job)
            case "retry completed":
                changed = manager.retry(job, completed=True)
            case "reschedule":
                changed = manager.reschedule(job, delay=0.01)
            case "set_priority":
                changed = manager.set_priority(job, 5)
            case _:
                changed = manager.delete(job)
    except NotPossible as error:
        return f"not possible: {error.job.status}"
    if changed is None:
        return "gone"
    return "deleted" if call == "delete" else str(changed.status)


def _check(site: Site, manager: JobManager, jobs: list[tuple[str, Job]], answers: dict[str, list[Answer]]) -> None:
    runs: dict[str, list[float]] = defaultdict(list)
    for event in site.events():
        if event["ev"] == "run_start":
            runs[event["k"]].append(event["t"])
    for k, job in jobs:
        told = answers[k]
        found = manager.find(job)
        deleted = any(one.status == "deleted" for one in told)
        site.expect((found is None) == deleted, f"{k} is {'there' if found else 'lost'} after {told}")
        if found is None:
            continue
        site.expect(found.status in ("completed", "failed", "cancelled"), f"{k} is {found.status} after {told}")
        history = manager.history(job)
        site.expect(len(runs[k]) <= len(history), f"{k} ran {len(runs[k])} times, and the log has {len(history)} attempts")
        for place, one in enumerate(told):
            later = told[place + 1 :]
            if one.call == "cancel" and one.status == "cancelled":
                # retry_all takes failed jobs alone, so it cannot have retried this one.
                retried = min((other.sent for other in later if other.call.startswith("retry")), default=float("inf"))
                late = [at for at in runs[k] if one.answered < at < retried]
                site.expect(not late, f"{k} began after it was cancelled: {told}")
            if one.call.startswith("retry") and one.status == "pending":
                ended = any(other.status in ("cancelled", "deleted") for other in later)
                site.expect(ended or any(at > one.sent for at in runs[k]), f"{k} did not run again: {told}")
