"""A process that works: `python -m tests.chaos.worker`. processes.py starts and steers it.

The first line on stdin holds the options, and the process answers `{"started": ...}`. The order `hog SECONDS` makes it take all
connections of its pool for so long, `scale TEXT` changes its pools of workers, and `quiet` makes its manager quiet. The order
`stop`, the end of stdin and SIGTERM stop it. Then it answers with what stop() reported and what the manager left behind.

A job's payload tells its handler what to do. `k` is the job's name, `ms` how long the handler takes, `raises` on how many
attempts it raises, and `do` anything else (see `_do`, effects.py and misdeeds.py).
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import random
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from psycopg_pool import ConnectionPool

from steve import Job, JobManager, NotRunning, Snooze, Unavailable, current_run

from .effects import ONCE, do_once
from .ledger import Ledger
from .misdeeds import MISDEEDS, Scene
from .options import WorkerOptions
from .stopping import stop

HELD_SECONDS = 20.0
"""How long `hold it for long` holds the interpreter."""

GONE_SECONDS = 15.0
"""How long threads and connections may take to be gone after stop() has returned."""


class Broken(Exception):
    """What a handler raises when its job says so."""


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.root.handlers[0].setLevel(logging.WARNING)
    logging.getLogger("chaos").setLevel(logging.INFO)
    options = WorkerOptions(**json.loads(sys.stdin.readline()))
    ledger = Ledger(Path(options.ledger) / f"worker-{os.getpid()}.jsonl")
    before = _held()
    doubts = _Doubts()
    logging.getLogger("steve").addFilter(doubts)
    logging.getLogger("steve").setLevel(logging.INFO)
    pool = None
    if options.pool:
        pool = ConnectionPool(options.conninfo, min_size=1, max_size=options.pool, open=True)
    manager = JobManager(pool or options.conninfo, schema=options.schema, **options.manager)
    for type in options.types:
        manager.set_handler(type, lambda job: run(options, ledger, pool, job), interrupt=options.interrupt)
    manager.on_done(None, lambda job: ledger.note("listener", k=job.payload["k"], status=str(job.status), pid=os.getpid()))
    # A child that multiprocessing forks closes sys.stdin. It would wait for the thread that reads it, which the child lacks.
    orders, sys.stdin = sys.stdin, None
    threading.Thread(target=_listen, args=(orders, manager, pool), daemon=True).start()
    _say({"started": os.getpid()})
    while True:
        try:
            report = manager.run(options.workers)
            break
        except Unavailable:
            time.sleep(0.1)
    if pool is not None:
        pool.close()
    _say(
        {
            "complete": report.complete,
            "unsettled": report.unsettled,
            "seconds": report.seconds,
            "in_doubt": doubts.were_logged,
            "left": _left(before),
        }
    )


class _Doubts(logging.Filter):
    """Notices the message that the row of this process stays: the reply to a claim was lost so recently that jobs which it took
    may still turn up. Lets nothing below a warning pass."""

    were_logged = False

    def filter(self, record: logging.LogRecord) -> bool:
        self.were_logged = self.were_logged or "the row of this process stays" in record.msg
        return record.levelno >= logging.WARNING


def _listen(orders: TextIO, manager: JobManager, pool: ConnectionPool[Any] | None) -> None:
    """Take orders, on a thread of its own."""
    for line in orders:
        order, *arguments = line.split()
        if order == "hog":
            assert pool is not None
            threading.Thread(target=_hog, args=(pool, float(arguments[0])), daemon=True).start()
        elif order in ("scale", "quiet"):
            with contextlib.suppress(NotRunning, Unavailable):  # it stops, or the database is away: the next order will do
                manager.scale(arguments[0]) if order == "scale" else manager.quiet()
        else:
            break
    stop(manager)


def _hog(pool: ConnectionPool[Any], seconds: float) -> None:
    """Do what a careless program does: take each connection that becomes free, and hold it."""
    until = time.monotonic() + seconds
    taken = []
    while time.monotonic() < until:
        try:
            taken.append(pool.getconn(timeout=0.05))
        except Exception:
            time.sleep(0.01)
    for connection in taken:
        pool.putconn(connection)


def run(options: WorkerOptions, ledger: Ledger, pool: ConnectionPool[Any] | None, job: Job) -> Any:
    if job.payload.get("do") == ONCE:
        return do_once(options, ledger, job)
    if job.payload.get("do") == "snooze first" and job.started_at is None:
        raise Snooze(0)
    run = uuid4().hex
    said = {"k": job.payload["k"], "attempt": job.attempts, "run": run, "pid": os.getpid()}
    ledger.note("run_start", **said)
    if job.payload.get("do") == "log":
        _log(ledger, run, job.payload["ms"] / 1000)
    else:
        time.sleep(job.payload["ms"] / 1000)
    if job.payload.get("do") == "hang" and not job.crashes:
        threading.Event().wait()  # until the process dies
    if job.payload.get("do") == "overrun":
        ledger.note("run_end", ok=False, **said)  # before: it may not come to that afterwards
        _overrun()
        return {"by": run}
    if misdeed := MISDEEDS.get(job.payload.get("do")):
        ledger.note("run_end", ok=misdeed.error is None, **said)
        return misdeed.commit(Scene(run, pool, ledger.file))
    _do(job.payload.get("do"))
    ok = job.attempts - job.crashes > job.payload["raises"]
    ledger.note("run_end", ok=ok, **said)
    if not ok:
        raise Broken
    return {"by": run}


def _overrun() -> None:
    """Return at about the moment of the deadline."""
    deadline = current_run().deadline
    assert deadline is not None
    until = deadline + random.uniform(-0.001, 0.003)
    time.sleep(max(0.0, until - time.monotonic() - 0.002))
    while time.monotonic() < until:
        pass


def _log(ledger: Ledger, run: str, seconds: float) -> None:
    """Log a line every few milliseconds."""
    log = logging.getLogger("chaos")
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        log.info("%s %d", run, number)
        ledger.note("logged", run=run, n=number)
        number += 1
        time.sleep(0.02)


def _do(what: str | None) -> None:
    if what == "exit":
        os._exit(1)
    elif what in ("SIGKILL", "SIGSEGV"):
        os.kill(os.getpid(), signal.Signals[what])
        threading.Event().wait()  # the signal may reach another thread, a moment later
    elif what == "fork":  # the child comes back out of the handler, as if it had done the job
        child = os.fork()
        if child:
            os.waitpid(child, 0)
    elif what == "hold the interpreter":  # some seconds, during which no other thread of the process runs
        re.match(r"(a+)+$", "a" * 26 + "b")
    elif what == "hold it for long":
        before = sys.getswitchinterval()
        sys.setswitchinterval(2 * HELD_SECONDS)  # no thread asks for the interpreter before that
        until = time.monotonic() + HELD_SECONDS
        while time.monotonic() < until:
            pass
        sys.setswitchinterval(before)


def _held() -> dict[str, int]:
    directory = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    # only the manager's: the reader of stdin, for example, starts after the first count
    threads = [thread for thread in threading.enumerate() if thread.name.startswith(("steve", "pool"))]
    # the watchdog belongs to the process, and ends by itself half a minute after the last statement
    threads = [thread for thread in threads if thread.name != "steve-watchdog"]
    return {"threads": len(threads), "files": len(list(directory.iterdir()))}


def _left(before: dict[str, int]) -> dict[str, int]:
    """What there is more of than before, after it has had time to go."""
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        gc.collect()  # the traceback of its own error holds a connection that failed while it was opened
        left = {name: count - before[name] for name, count in _held().items() if count > before[name]}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
