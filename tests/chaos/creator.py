"""A process that creates jobs: `python -m tests.chaos.creator`. processes.py starts and steers it.

The first line on stdin holds the options, and the process begins at once. It stops at the next line, at the end of stdin, or
when it has created as many jobs as it may. Then it answers how many jobs were stored, unknown and not stored, and how long the
creates took: the 99th percentile and the longest.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from functools import partial
from pathlib import Path
from typing import Any, cast

import psycopg

from steve import Job, JobCancelled, JobFailed, JobManager, NewJob, OutcomeUnknown, SteveError
from steve.job import OnConflict

from .ledger import Ledger
from .options import CreatorOptions

ROLLED_BACK = 0.1
"""The share of the transactions on other drivers' connections that are rolled back."""

FUTURES_SECONDS = 60.0
"""How long the futures may take to be done after the last job was created."""

CHILD_SECONDS = 20.0
"""How long the job of a child of a fork may take."""


class Creator:
    """What the threads share."""

    def __init__(self, options: CreatorOptions) -> None:
        self.options = options
        self.ledger = Ledger(Path(options.ledger) / f"creator-{os.getpid()}.jsonl")
        self.manager = JobManager(options.conninfo, schema=options.schema)
        self.stopping = threading.Event()
        self._futures: list[Future[Job]] = []
        self._lock = threading.Lock()  # protects the three below
        self._named = 0
        self.counts: Counter[str] = Counter()
        self.times: list[float] = []

    def run(self, thread: int) -> None:
        options, chance = self.options, random.Random(f"{self.options.seed}:{thread}")
        ways: list[Callable[[random.Random], None]] = [self._create, self._create_many, self._create_in_transaction]
        weights = [1 - options.many - options.own, options.many, options.own]
        while not self.stopping.is_set():
            if options.most and self._named >= options.most:
                return
            chance.choices(ways, weights)[0](chance)
            if options.every:
                self.stopping.wait(chance.expovariate(1 / options.every))

    def _job(self, chance: random.Random) -> NewJob:
        with self._lock:
            self._named += 1
            k = f"{self.options.name}-{self._named}"
        raises = chance.choice([1, self.options.max_attempts]) if chance.random() < self.options.raising else 0
        payload = {"k": k, "ms": chance.uniform(*self.options.ms), "raises": raises}
        if self.options.do is not None:
            payload["do"] = self.options.do
        key = f"key {chance.randrange(self.options.keys)}" if self.options.keys else None
        how = cast(OnConflict, self.options.on_conflict)
        return NewJob(
            chance.choice(self.options.types), payload, self.options.max_attempts, "none", unique=key, on_conflict=how,
            queue=chance.choice(self.options.queues),
        )  # fmt: skip

    def _create(self, chance: random.Random) -> None:
        job = self._job(chance)
        self._note([job], lambda: [self._send(job)])

    def _send(self, job: NewJob, connection: object = None) -> Job:
        return self.manager.create(
            job.type, job.payload, max_attempts=job.max_attempts, backoff_strategy="none",
            queue=job.queue, unique=job.unique, on_conflict=job.on_conflict or "return", connection=connection,
        )  # fmt: skip

    def _create_many(self, chance: random.Random) -> None:
        jobs = [self._job(chance) for _ in range(10)]
        self._note(jobs, lambda: self.manager.create_many(jobs))

    def _create_in_transaction(self, chance: random.Random) -> None:
        """Until the COMMIT is sent, nothing can be stored. After that, an error leaves the outcome unknown."""
        job = self._job(chance)
        if self.options.driver != "psycopg":
            self._note([job], lambda: self._create_with_driver(job, is_kept=chance.random() > ROLLED_BACK))
            return

        def create() -> list[Job]:
            try:
                connection = psycopg.connect(self.options.conninfo, connect_timeout=5)
            except psycopg.OperationalError as error:
                raise SteveError("no connection") from error
            with connection:
                try:
                    made = self._send(job, connection)
                except psycopg.Error as error:
                    connection.close()
                    raise SteveError("rolled back") from error
                try:
                    connection.commit()
                except psycopg.Error as error:
                    raise OutcomeUnknown(str(error)) from error
                return [made]

        self._note([job], create)

    def _create_with_driver(self, job: NewJob, *, is_kept: bool) -> list[Job]:
        """The same on a connection of another driver, each of which has errors of its own. `is_kept`: it is not rolled back."""
        from tests.drivers import HOLDERS  # takes a second, and most creators need none of it

        made: list[Job] = []
        is_sent = is_stored = False
        try:
            with HOLDERS[self.options.driver](self.options.conninfo) as held:
                made = [self._send(job, held.connection)]
                if is_kept:
                    is_sent = True
                    held.commit()
                    is_stored = True
                else:
                    held.rollback()
        except Exception as error:
            if not is_stored:
                raise OutcomeUnknown(str(error)) if is_sent else SteveError("rolled back") from error
        if not is_kept:
            raise SteveError("rolled back")
        return made

    def _note(self, jobs: list[NewJob], create: Callable[[], list[Job]]) -> None:
        begun = time.monotonic()
        made: list[Job] = []
        try:
            made = create()
            how, why = "enq_ok", ""
        except OutcomeUnknown as error:
            how, why = "enq_unknown", str(error)
        except SteveError as error:
            how, why = "enq_fail", f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - begun
        for place, job in enumerate(jobs):
            assert job.payload is not None
            more: dict[str, Any] = {"why": why} if why else {}
            if job.unique is not None:
                more |= {"begun": begun, "key": job.unique}
            is_duplicate = bool(made) and made[place].duplicate
            if is_duplicate:
                more["of"] = made[place].payload["k"]
            is_stored = not is_duplicate or job.on_conflict == "replace"
            self.ledger.note(how if is_stored else "enq_duplicate", k=job.payload["k"], **more)
        with self._lock:
            self.counts[how] += len(jobs)
            self.times.append(seconds)
        if self.options.waits:
            self._ask(made)

    def _ask(self, jobs: list[Job]) -> None:
        """Have a future for each of these jobs."""
        for job in jobs:
            k = job.payload["k"]
            self.ledger.note("asked", k=k)
            future = self.manager.future(job)
            future.add_done_callback(partial(self._answered, k))
            self._futures.append(future)

    def _answered(self, k: str, future: Future[Job]) -> None:
        try:
            how = str(future.result(0).status)
        except (JobFailed, JobCancelled) as error:
            how = str(error.job.status)
        except Exception as error:
            how = type(error).__name__
        self.ledger.note("answered", k=k, how=how)

    def wait(self) -> None:
        """Wait until all futures are done, or hang."""
        wait_for_futures(self._futures, FUTURES_SECONDS * self.options.patience)

    def fork(self) -> None:
        """Until the end: fork children, in which the parent's futures end at once and the manager works on."""
        while not self.stopping.wait(0.3):
            self.ledger.note("fault", what="fork", pid=os.getpid())
            pid = os.fork()
            if pid:
                if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
                    self.ledger.note("answered", k="child", how="a child hangs or failed")
                    self.ledger.note("asked", k="child")
                continue
            status = 1
            try:
                signal.alarm(int(CHILD_SECONDS * self.options.patience) + 10)
                inherited = self._futures[-100:]
                is_done = all(future.done() for future in inherited)
                job = self.manager.create("a", {"k": f"{self.options.name}-child-{os.getpid()}", "ms": 1, "raises": 0})
                self.ledger.note("enq_ok", k=job.payload["k"])
                status = int(not is_done or self.manager.wait(job, CHILD_SECONDS * self.options.patience).status != "completed")
            finally:
                os._exit(status)


def main() -> None:
    creator = Creator(CreatorOptions(**json.loads(sys.stdin.readline())))
    threads = [threading.Thread(target=creator.run, args=(number,)) for number in range(creator.options.threads)]

    def listen() -> None:
        sys.stdin.readline()
        creator.stopping.set()

    threading.Thread(target=listen, daemon=True).start()
    for thread in threads:
        thread.start()
    if creator.options.forks:
        creator.fork()
    for thread in threads:
        thread.join()
    creator.wait()
    creator.manager.stop()
    times = sorted(creator.times) or [0.0]
    answer = {"p99": times[int(len(times) * 0.99) - 1], "slowest": times[-1], **creator.counts}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
