"""Compares the ledger of a trial with the rows in the database. It is pure, so that tests can give it made-up ledgers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .ledger import Event

FINAL = ("completed", "failed", "cancelled")

UNTOLD_PER_DEATH = 500
"""Listeners are told after the commit. If a process dies in between, the group that it has just settled stays untold."""


class JobRow(NamedTuple):
    k: str
    """The name that the creator put into the payload. If a job is stored twice, both rows have it."""
    status: str
    crashes: int
    by: str | None
    """The run that its result names."""


class AttemptRow(NamedTuple):
    k: str
    number: int
    status: str
    pid: int


FLAWS = {
    "lost": "created, but missing, or not final after the drain",
    "ghost": "stored, though no create returned or ended unknown",
    "duplicate": "stored more than once",
    "never_run": "completed without a run",
    "unexplained": "run more often than the log of attempts says",
    "double_final": "more than one successful attempt, or the result of another run",
    "spent": "an attempt logged as an error that no handler raised",
    "crashed_unharmed": "an attempt logged as crashed, though nothing was done to its process",
    "listener_dup": "a final state told more than once",
    "listener_missing": "final states never told, more than the deaths of processes explain",
    "failed_unrun": "failed without a run",
    "failed_innocent": "failed, though its handler neither raised nor was alone in a process that died",
    "waits": "futures that hang, or that say what is not so",
    "state": "rows that must not exist: running jobs, processes that are gone",
    "leaks": "connections, threads or files left behind",
    "broken": "a further expectation of the fault that was not met",
}
"""What is wrong, by the name of the flaw. None of these may be found."""


@dataclass
class Findings:
    """The flaws by their names in FLAWS, each with the jobs or processes that have it; and further counts."""

    flaws: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in FLAWS})
    jobs: int = 0
    runs: int = 0
    extra_runs: int = 0
    """Runs of a job beyond its first. The log explains them all unless `unexplained` says otherwise."""
    recovered: int = 0
    """Creates that ended unknown and had stored their job."""
    untold: int = 0
    """Final states that were not told."""
    deaths: int = 0
    faults: int = 0
    recoveries: list[float] = field(default_factory=list)
    """Seconds from the end of a fault to the first run after it."""

    def is_sound(self) -> bool:
        return not any(self.flaws.values())

    def add(self, other: Findings) -> None:
        """Add the findings of another trial."""
        for name, whom in other.flaws.items():
            self.flaws[name] += whom
        for count in ("jobs", "runs", "extra_runs", "recovered", "untold", "deaths", "faults"):
            setattr(self, count, getattr(self, count) + getattr(other, count))
        self.recoveries += other.recoveries


def check(
    events: Sequence[Event],
    jobs: Sequence[JobRow],
    attempts: Sequence[AttemptRow],
    gone: Collection[str] = (),
    undone: Collection[str] = (),
    steered: Collection[str] = (),
) -> Findings:
    """`attempts`: the log's rows of all these jobs.

    `gone`: jobs that an asynchronous standby had not received when it was promoted. steve has not lost them.
    `steered`: jobs that the fault itself cancels, retries or deletes, and checks.
    `undone`: jobs that it had received in an earlier state only. Their later runs and final states happen again.
    """
    if steered:
        events = [event for event in events if event.get("k") not in steered]
        jobs = [job for job in jobs if job.k not in steered]
        attempts = [attempt for attempt in attempts if attempt.k not in steered]
    found = Findings()
    flaws = found.flaws
    ok, unknown = _keys(events, "enq_ok"), _keys(events, "enq_unknown")
    rows = {job.k: job for job in jobs}
    starts: dict[str, list[Event]] = _by_key(events, "run_start")
    ends: dict[str, list[Event]] = _by_key(events, "run_end")
    log: dict[str, list[AttemptRow]] = defaultdict(list)
    for attempt in attempts:
        log[attempt.k].append(attempt)
    told = Counter(event["k"] for event in events if event["ev"] == "listener" and event["status"] in FINAL)
    harmed = {event["pid"] for event in events if event["ev"] in ("fault", "death") and "pid" in event}

    flaws["lost"] += [k for k in sorted(ok) if (k not in rows and k not in gone) or (k in rows and rows[k].status not in FINAL)]
    flaws["ghost"] += [k for k in sorted(rows) if k not in ok and k not in unknown]
    flaws["duplicate"] += [k for k, count in Counter(job.k for job in jobs).items() if count > 1]
    for k, job in rows.items():
        final = job.status in FINAL
        runs, logged = starts[k], log[k]
        if job.status == "completed" and not runs:
            flaws["never_run"].append(k)
        if len(runs) > len(logged) + (not final) and k not in undone:
            flaws["unexplained"].append(k)
        if not _is_final_once(job, runs, logged):
            flaws["double_final"].append(k)
        raised = {end["attempt"] for end in ends[k] if not end["ok"]}
        if any(attempt.status == "error" and attempt.number not in raised for attempt in logged):
            flaws["spent"].append(k)
        # By the tables a process holds an undone job again, but it does not run it. It frees the job, with a crash.
        if any(attempt.status == "crashed" and attempt.pid not in harmed for attempt in logged) and k not in undone:
            flaws["crashed_unharmed"].append(k)
        if told[k] > 1 and k not in undone:
            flaws["listener_dup"].append(k)
        if job.status == "failed" and not runs:
            flaws["failed_unrun"].append(k)
        if job.status == "failed" and runs and not _is_guilty(k, events, raised, logged):
            flaws["failed_innocent"].append(k)
    answers = {event["k"]: event["how"] for event in events if event["ev"] == "answered"}
    for k in sorted(_keys(events, "asked")):
        told_how, so = answers.get(k, "nothing"), rows[k].status if k in rows else "JobGone"
        if told_how != so and not (k in undone and told_how in FINAL):
            flaws["waits"].append(f"{k}: {told_how}, not {so}")
    untold = [k for k, job in rows.items() if job.status in FINAL and not told[k]]

    found.jobs = len(jobs)
    found.runs = sum(len(runs) for runs in starts.values())
    found.extra_runs = sum(max(len(runs) - 1, 0) for runs in starts.values())
    found.recovered = len(unknown & rows.keys())
    found.untold = len(untold)
    found.deaths = sum(event["ev"] == "death" for event in events)
    found.faults = sum(event["ev"] == "fault" for event in events)
    found.recoveries = _recoveries(events)
    if len(untold) > found.deaths * UNTOLD_PER_DEATH:
        flaws["listener_missing"] += untold
    return found


def _keys(events: Iterable[Event], name: str) -> set[str]:
    return {event["k"] for event in events if event["ev"] == name}


def _by_key(events: Iterable[Event], name: str) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event["ev"] == name:
            found[event["k"]].append(event)
    return found


def _is_final_once(job: JobRow, runs: Sequence[Event], logged: Sequence[AttemptRow]) -> bool:
    successes = [attempt.number for attempt in logged if attempt.status == "success"]
    if job.status != "completed":
        return not successes
    # A job without a run in the ledger is a case of `never_run`: here its result cannot be judged.
    by = {run["run"] for run in runs if run["attempt"] in successes}
    return len(successes) == 1 and (not by or job.by in by)


def _is_guilty(k: str, events: Sequence[Event], raised: set[int], logged: Sequence[AttemptRow]) -> bool:
    last = max(logged, key=lambda attempt: attempt.number, default=None)
    if last is None or last.status != "crashed":
        return bool(raised)
    # The job died with its process. It is guilty if no other run was open in that process.
    open_runs: dict[str, Any] = {}
    for event in events:
        if event.get("pid") == last.pid and event["ev"] == "run_start":
            open_runs[event["run"]] = event
        elif event["ev"] == "run_end":
            open_runs.pop(event["run"], None)
    return {event["k"] for event in open_runs.values()} == {k}


def _recoveries(events: Sequence[Event]) -> list[float]:
    found = []
    healed: float | None = None
    for event in events:
        if event["ev"] == "healed":
            healed = event["t"]
        elif event["ev"] == "fault":
            healed = None  # the next fault came before a run: nothing to measure
        elif event["ev"] == "run_start" and healed is not None:
            found.append(event["t"] - healed)
            healed = None
    return found
