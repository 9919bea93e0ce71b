"""What is measured of each peer that is installed: its drain, its pick-up, its create. All of them at its best settings.

The clock of a drain runs from just before the library's own start until its tables know of no unfinished job, as for steve. A
peer that has not finished after six seconds is stopped, and the jobs that are done for good by then count.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.child import ProcessFailed

from ..board import Board
from ..figures import Bench, Measure, Reading, figure
from ..ledger import WrongLedger
from ..limits import BATCH
from ..pickup import P50, P99, delays
from ..processes import Process
from . import database
from .catalogue import PEERS, Peer

CAP = 6.0
"""Seconds until a drain is stopped."""

FILL_SECONDS = 300.0
"""How long filling in the jobs may take. The slowest peers do it one job at a time."""


class Trial(NamedTuple):
    """A peer with a database and a board of its own."""

    peer: Peer
    database: database.Database
    board: Board

    def fill(self, jobs: int) -> None:
        """Make the peer's tables, and fill in so many jobs."""
        with self._driver("fill", jobs) as process:
            process.answer(FILL_SECONDS)
        self.database.freshen()

    def create(self, *, every: float = 0.0) -> None:
        """Create as many jobs as the board has room for, one at a time."""
        with self._driver("create", self.board.jobs, every) as process:
            process.answer(FILL_SECONDS)

    @contextmanager
    def worker(self) -> Iterator[Process]:
        """A process that works as soon as it is told to."""
        with self._driver("work") as process:
            process.answer()
            yield process

    def unfinished(self) -> int:
        return self.database.count(self.peer.unfinished)

    @contextmanager
    def _driver(self, command: str, jobs: int = 0, every: float = 0.0) -> Iterator[Process]:
        options: dict[str, Any] = {"command": command, "jobs": jobs, "every": every}
        options |= {"board": str(self.board.path), "board_jobs": self.board.jobs}
        process = Process(f"{command} of {self.peer.name}", self.peer.command(), options, self.database.environ)
        try:
            yield process
        finally:
            process.end()


@contextmanager
def trial_of(bench: Bench, peer: Peer, jobs: int) -> Iterator[Trial]:
    with database.created(bench.cluster, peer.name) as its, Board.new(jobs) as board:
        yield Trial(peer, its, board)


def drain(bench: Bench, peer: Peer) -> Reading:
    jobs = bench.jobs(peer.jobs)
    with trial_of(bench, peer, jobs) as trial:
        trial.fill(jobs)
        with trial.worker() as worker:
            cpu = worker.cpu()
            worker.tell("start")
            begun = worker.answer() / 1e9
            all_ran = _wait_until_run(trial.board, worker, begun + CAP)
            while True:
                now = time.monotonic()  # taken before the query, whose snapshot comes right after
                done = jobs - trial.unfinished()
                if done == jobs or now > begun + CAP:
                    break
                worker.check()
                time.sleep(0.003)
            details = {
                "jobs": jobs,
                "done": done,
                "seconds": round(now - begun, 3),
                "stopped_at_cap": done < jobs,
                "worker_cpu": round(worker.cpu() - cpu, 2),
                "worker_mb": round(worker.memory(), 1),
            }
            time.sleep(0.1)  # Node writes to the board every few milliseconds
        _check(trial, done, all_ran)
    return Reading({"jobs/s": done / (now - begun)}, details)


def _wait_until_run(board: Board, worker: Process, deadline: float) -> bool:
    """Wait for all handlers to begin. Returns whether they have by the deadline. Reads nothing but the board."""
    reached = 0
    while (reached := board.first_not_run(reached)) >= 0:
        worker.check()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.004)
    return True


def _check(trial: Trial, done: int, all_ran: bool) -> None:
    """Check that no job ran twice, that no job is done that did not run, and that all ran unless the peer was stopped."""
    runs = trial.board.runs
    ran = sum(runs)
    flaws = []
    if max(runs) > 1:
        flaws.append(f"{sum(count > 1 for count in runs):,} jobs ran more than once")
    if ran < (trial.board.jobs if all_ran else done):
        flaws.append(f"{ran:,} jobs ran, {done:,} are done, of {trial.board.jobs:,}")
    if flaws:
        raise WrongLedger("; ".join(flaws))


def pick_up(bench: Bench, peer: Peer) -> Reading:
    with trial_of(bench, peer, bench.samples(200)) as trial:
        trial.fill(0)
        with trial.worker() as worker:
            worker.tell("start")
            worker.answer()
            time.sleep(2)
            trial.create(every=0.02)
            if not _wait_until_run(trial.board, worker, time.monotonic() + 20):
                raise ProcessFailed(f"{trial.board.jobs - sum(trial.board.runs)} jobs have not run")
            _check(trial, 0, True)
        return delays(trial.board, range(trial.board.jobs)).reading()


def create(bench: Bench, peer: Peer) -> Reading:
    """Jobs a second, without the first job, which is the warm-up."""
    with trial_of(bench, peer, bench.jobs(4_000)) as trial:
        trial.fill(0)
        trial.create()
        if (stored := trial.unfinished()) != trial.board.jobs:
            raise WrongLedger(f"{stored:,} jobs were stored instead of {trial.board.jobs:,}")
        made = trial.board.made
        return Reading({"jobs/s": (len(made) - 1) / (made[-1] - made[0]) * 1e9})


def _measure(peer: Peer) -> None:
    title = f"drain {peer.jobs:,} jobs, at most {CAP:g} s: {peer.title}"

    @figure(f"peer.{peer.name}", title, {"jobs/s": Measure(ratios=[BATCH])})
    def take(bench: Bench) -> Reading:
        return drain(bench, peer)


def _measure_pick_up(peer: Peer) -> None:
    @figure(f"peer.{peer.name}.pickup", "pick-up on an idle worker", {P50: Measure(), P99: Measure()})
    def take(bench: Bench) -> Reading:
        return pick_up(bench, peer)


def _measure_create(peer: Peer) -> None:
    @figure(f"peer.{peer.name}.create", "create one at a time, one thread", {"jobs/s": Measure()})
    def take(bench: Bench) -> Reading:
        return create(bench, peer)


for _make in (_measure, _measure_pick_up, _measure_create):
    for _peer in PEERS:
        if _peer.installed:
            _make(_peer)
