"""What a fault is: a function that breaks something under load and has an id in the report; and the site where it does that.

The site starts the processes, and notes in the ledger what was done to which of them. After the function has returned, it lets
everything come to rest, looks for what was left behind, and calls the checker.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from steve import JobManager
from tests.child import ANSWER_SECONDS, ProcessFailed

from .checker import Findings, check
from .cluster import Cluster, temporary_directory
from .ledger import Event, Ledger, read
from .options import CreatorOptions, MigratorOptions, WorkerOptions
from .processes import Process, Warden

DRAIN_SECONDS = 40.0
"""How long all jobs may take to become final when nothing is broken any more."""

RESCUED_SECONDS = 30.0
"""How long a new process may take to see which processes are dead, and to remove what is left of them."""

LEAVE_SECONDS = 5.0
"""How long the server may still show a connection of a process that has ended."""

STALL_SECONDS = 1.5
"""For each time that everything may take longer (`patience`), a process that is well may be silent for so much longer, for
example while the disk is busy."""


@dataclass(frozen=True)
class Fault:
    id: str
    title: str
    trial: str
    """What one trial is."""
    short: int
    """Trials in a short run; 0: a short run leaves the fault out."""
    long: int
    """Trials in each round of a long run."""
    expects: str
    """What the fault expects beyond what the checker checks for all faults."""
    inject: Callable[[Site], None]
    open: Callable[[Warden], AbstractContextManager[Cluster]] | None
    """Starts a server for this fault alone; None: it uses the server of the run."""


FAULTS: dict[str, Fault] = {}
"""Every fault by its id, in the order of the report."""


def fault(
    id: str,
    title: str,
    *,
    trial: str,
    short: int,
    long: int,
    expects: str = "-",
    open: Callable[[Warden], AbstractContextManager[Cluster]] | None = None,
) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
    """Decorator: this function injects the fault `id`, `site.trials` times."""

    def register(inject: Callable[[Site], None]) -> Callable[[Site], None]:
        assert id not in FAULTS, id
        FAULTS[id] = Fault(id, title, trial, short, long, expects, inject, open)
        return inject

    return register


def chosen(only: list[str], short: bool) -> list[Fault]:
    """The faults of these ids. Without ids: all, or in a short run those that belong to it."""
    if unknown := [id for id in only if id not in FAULTS]:
        raise LookupError(f"no fault is called {unknown[0]!r}: --list names them")
    return [one for one in FAULTS.values() if (one.id in only if only else one.short or not short)]


class Shard:
    """One of several parts, into which the faults are dealt one by one: "1/2" has the first, the third, and so on."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        number, _, parts = text.partition("/")
        self._number, self._parts = int(number), int(parts)
        if not 1 <= self._number <= self._parts:
            raise ValueError(text)

    def __call__(self, faults: list[Fault]) -> list[Fault]:
        return faults[self._number - 1 :: self._parts]


class Skipped(Exception):
    """The fault cannot be injected on this machine."""


class Site:
    """One round of one fault: a schema of its own, its processes, its ledger. Used by the driver's thread only."""

    def __init__(self, cluster: Cluster, warden: Warden, fault: Fault, trials: int, seed: str, patience: float) -> None:
        self.cluster = cluster
        self.warden = warden
        self.trials = trials
        self.patience = patience
        """How many times as long as expected everything may take: more than 1 on a slow or busy machine."""
        self.chance = random.Random(seed)
        self.schema = f"chaos_{fault.id.lower()}"
        self.application = self.schema
        """The application_name of the site's sessions."""
        self.user = "postgres"
        """The role of processes that are started from now on."""
        self.directory = temporary_directory()
        self.notes: dict[str, Any] = {}
        """Further figures for the report."""
        self.workers: list[Process] = []
        self.creators: list[Process] = []
        self.met: Counter[str] = Counter()
        """What the workers logged, and how often."""
        self.done = 0
        """Trials that took place."""
        self.gone: set[str] = set()
        """Jobs that a primary had stored and that the promoted standby had never received."""
        self.undone: set[str] = set()
        """Jobs that the promoted standby had received in an earlier state only."""
        self.steered: set[str] = set()
        """Jobs that the fault itself steers and checks."""
        self._seed = seed
        self._ledger = Ledger(self.directory / "driver.jsonl")
        self._broken: list[str] = []
        self._named = 0
        self._left: list[str] = []
        self._doubtful: set[int] = set()
        """Processes that may have ended while they held jobs that they did not know of. Their rows stay, for a rescue."""
        self._found: Findings | None = None
        cluster.ask(f"drop schema if exists {self.schema} cascade")
        JobManager(cluster.conninfo("migrate"), schema=self.schema).migrate()

    # -- processes ------------------------------------------------------------------------------------------------------

    def work(
        self,
        processes: int = 2,
        port: int | None = None,
        conninfo: str | None = None,
        within: Sequence[str] = (),
        **options: Any,
    ) -> list[Process]:
        """Start worker processes, and return when they are about to start their managers. `port`: that of a proxy. `conninfo`:
        in place of the site's. `within`: a command that runs the process, such as `env`."""
        told = WorkerOptions(conninfo or self.conninfo(port), self.schema, str(self.directory), **options)
        new = [self._start_worker(told, within) for _ in range(processes)]
        self.workers += new
        for process in new:
            process.answer()
        return new

    def create(self, processes: int = 1, port: int | None = None, within: Sequence[str] = (), **options: Any) -> list[Process]:
        new = []
        for _ in range(processes):
            self._named += 1
            name = str(self._named)
            seed, patience = f"{self._seed}:{name}", self.patience
            one = CreatorOptions(
                self.conninfo(port), self.schema, str(self.directory), name, seed, patience=patience, **options
            )
            new.append(Process(one.module, one, self.warden, within, one.python))
        self.creators += new
        return new

    def migrators(self, processes: int) -> list[Process]:
        """Start processes that migrate. The caller ends them."""
        new = [Process("migrator", MigratorOptions(self.conninfo()), self.warden) for _ in range(processes)]
        for process in new:
            process.answer()
        return new

    def respawn(self, worker: Process) -> Process:
        """Start another worker in place of this one, which the caller ends."""
        self.workers.remove(worker)
        new = self._start_worker(worker.options)
        self.workers.append(new)
        return new

    def kill(self, worker: Process) -> None:
        """Kill the worker with SIGKILL."""
        self.note("fault", what="kill", pid=worker.pid)
        worker.signal(signal.SIGKILL)
        worker.wait()
        self.note("death", pid=worker.pid)
        worker.end()

    def wind_down(self, worker: Process) -> dict[str, Any]:
        """The answer of a worker that was asked to stop. Checks that it ended as it should."""
        report: dict[str, Any] = worker.answer()
        code = worker.wait()
        log = worker.wrote()
        self.met.update(re.findall(r"will try again: (\w+)", log))
        self.met["lost claims taken up"] += log.count("the reply to a claim was lost")
        self.met["verdicts dropped"] += log.count("was taken from this process")
        self.expect(code == 0, f"worker {worker.pid} ended with {code}")
        self.expect(report["complete"], f"worker {worker.pid} stopped incomplete: {report}")
        if report["in_doubt"]:
            self._doubtful.add(worker.pid)
        self._left += [f"worker {worker.pid}: {count} {what}" for what, count in report["left"].items()]
        worker.end()
        return report

    def _start_worker(self, options: Any, within: Sequence[str] = ()) -> Process:
        return Process(options.module, options, self.warden, within, options.python)

    def conninfo(self, port: int | None = None) -> str:
        """`port`: of a proxy."""
        return self.cluster.conninfo(self.application, port, self.user)

    # -- trials ---------------------------------------------------------------------------------------------------------

    def each_trial(self) -> Iterator[int]:
        """Yields the number of each trial. After each one it checks that all workers live."""
        for number in range(self.trials):
            yield number
            self.done += 1
            self._look()

    def note(self, event: str, **fields: Any) -> None:
        self._ledger.note(event, **fields)

    @contextmanager
    def broken(self, what: str) -> Iterator[None]:
        """The fault lasts as long as the block."""
        self.note("fault", what=what)
        yield
        self.note("healed")

    def pause(self, least: float, most: float) -> float:
        """Sleep for a random time, and return it."""
        seconds = self.chance.uniform(least, most)
        time.sleep(seconds)
        return seconds

    def stall(self, share: float = 1.0) -> float:
        """How many seconds longer than on a fast and quiet machine something may stand still. `share`: of that."""
        return share * STALL_SECONDS * (self.patience - 1)

    def patient(self, manager: dict[str, Any]) -> dict[str, Any]:
        """These keywords of a manager, with a lease that a process that is well keeps here, too."""
        return manager | {"lease": manager["lease"] + self.stall()}

    def expect(self, condition: object, otherwise: str) -> None:
        if not condition:
            self._broken.append(otherwise)

    def expect_at_most(self, seconds: float, took: float, otherwise: str) -> None:
        self.expect(took <= seconds * self.patience, otherwise)

    def events(self) -> list[Event]:
        return read(self.directory)

    def runs_again(self, seconds: float) -> bool:
        """Whether a handler begins within so many seconds from now."""
        now = time.monotonic()
        return self.until(lambda: any(event["ev"] == "run_start" and event["t"] > now for event in self.events()), seconds)

    def until(self, predicate: Callable[[], Any], seconds: float) -> bool:
        deadline = time.monotonic() + seconds * self.patience
        while not predicate():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _look(self) -> None:
        for process in [one for one in self.workers if one.ended() is not None]:
            self._broken.append(f"worker {process.pid} ended by itself: {process.ended()}: {process.wrote()[-500:]}")
            self.note("death", pid=process.pid)
            process.end()
            self.respawn(process).answer()

    # -- the end --------------------------------------------------------------------------------------------------------

    def finish(self) -> Findings:
        """Let all come to rest, and check. A fault that uses something of its own, such as a proxy, does so itself before it
        removes that."""
        if self._found is None:
            self.rest()
        found = self._found or self.collect()
        found.flaws["broken"] += self._broken
        found.flaws["leaks"] += self._left
        return found

    def rest(self) -> None:
        """Stop the creators, wait until all jobs are final, and stop the workers."""
        self._look()
        self.stop_creators()
        self.drain()
        workers, self.workers = self.workers, []
        for worker in workers:
            worker.tell("stop")
        for worker in workers:
            try:
                self.wind_down(worker)
            except ProcessFailed as error:
                self._broken.append(str(error))
                worker.end()

    def collect(self) -> Findings:
        """Check the ledger, the tables and what was left behind. The site must be at rest."""
        jobs = self.cluster.jobs(self.schema)
        found = self._found = check(
            self.events(), jobs, self.cluster.attempts(self.schema), self.gone, self.undone, self.steered
        )
        if not self.until(lambda: not self.cluster.sessions(self.application), LEAVE_SECONDS):
            found.flaws["leaks"].append(f"{self.cluster.sessions(self.application)} connections")
        found.flaws["state"] += [f"{job.k} is running" for job in jobs if job.status == "running"]
        dead = {event["pid"] for event in self.events() if event["ev"] == "death"}  # the next process deletes their rows
        registered = self.registered() - dead
        if kept := registered & self._doubtful:
            self.notes["rows kept for a rescue"] = self.notes.get("rows kept for a rescue", 0) + len(kept)
            (rescuer,) = self.work(1)
            # It must also have started: a process that is told to stop before that ends by the signal.
            self.until(lambda: rescuer.pid in self.registered() and not self.registered() & kept, RESCUED_SECONDS)
            rescuer.tell("stop")
            self.workers.remove(rescuer)
            self.wind_down(rescuer)
            registered = registered - kept | self.registered() - dead
        found.flaws["state"] += [f"{pid} is registered" for pid in sorted(registered)]
        return found

    def registered(self) -> set[int]:
        """The pids of the processes that have a row."""
        return {pid for (pid,) in self.cluster.ask(f"select split_part(name, ':', 2)::integer from {self.schema}.process")}

    def stop_creators(self) -> list[dict[str, Any]]:
        """Stop the creators, and return their answers."""
        creators, self.creators = self.creators, []
        for creator in creators:
            if isinstance(creator.options, CreatorOptions) and not creator.options.most:  # the others stop by themselves
                creator.tell("stop")
        answers = [creator.answer(ANSWER_SECONDS * self.patience) for creator in creators]
        for creator in creators:
            creator.end()
        return answers

    def drain(self, seconds: float = DRAIN_SECONDS) -> bool:
        """Wait until all jobs are final. The checker finds those that are not by then."""
        return self.until(self.is_drained, seconds)

    def is_drained(self) -> bool:
        query = f"select count(*) from {self.schema}.job where status in ('pending', 'running')"
        return self.cluster.ask(query) == [(0,)]

    def close(self, keep: bool) -> None:
        """End what still runs and drop the schema. `keep`: the ledger stays."""
        for process in (*self.workers, *self.creators):
            process.end()
        self._ledger.close()
        try:
            self.cluster.ask(f"drop schema if exists {self.schema} cascade")
        except psycopg.Error:
            pass
        if not keep:
            shutil.rmtree(self.directory)
