"""A process that waits for jobs: `python -m tests.benchmarks.waiter`. waits.py starts and steers it.

The first line on stdin holds the options, as JSON. With the order `start` it creates its jobs and waits for them, and answers
how long each answer took, in milliseconds; or when each job was answered, if it waits for all at once. With `echo` in the
options it answers the notifications of another process instead.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import psycopg

from steve import Job, JobManager
from steve._database.statements.waits import WaitStatements


def main() -> None:
    options = json.loads(sys.stdin.readline())
    if options.get("echo"):
        echo(options["conninfo"])
        return
    manager = JobManager(options["conninfo"], schema=options["schema"], notify=options["notify"])
    sent = count_statements()
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    begun = time.monotonic()
    answer = (one_by_one if options["one_by_one"] else at_once)(manager, options["jobs"])
    print(json.dumps(answer | {"statements": sent, "seconds": time.monotonic() - begun}), flush=True)
    sys.stdin.readline()
    manager.stop()


def one_by_one(manager: JobManager, jobs: int) -> dict[str, Any]:
    """From before `create` to the return of `wait`. The first one, which opens connections, does not count."""
    took = []
    for i in range(jobs):
        begun = time.monotonic()
        manager.wait(manager.create("noop", {"i": i}, notify=True), 60)
        took.append((time.monotonic() - begun) * 1000)
    return {"ms": took[1:]}


def at_once(manager: JobManager, jobs: int) -> dict[str, Any]:
    """When each future was done, by the machine's clock, which is also the server's."""
    answered: dict[str, float] = {}

    def note(future: Future[Job]) -> None:
        answered[str(future.result().uid)] = time.time()

    futures = []
    for i in range(jobs):
        futures.append(manager.future(manager.create("noop", {"i": i})))
        futures[-1].add_done_callback(note)
    for future in futures:
        future.result(60)
    return {"answered": answered}


def count_statements() -> list[str]:
    """The names of the statements that are sent for waiting, from now on."""
    sent: list[str] = []
    for name in ("find_ended", "announce_waiter", "is_standby"):
        setattr(WaitStatements, name, _counted(name, getattr(WaitStatements, name), sent))
    return sent


def _counted(name: str, send: Callable[..., Any], sent: list[str]) -> Callable[..., Any]:
    def counted(*arguments: Any, **more: Any) -> Any:
        sent.append(name)
        return send(*arguments, **more)

    return counted


def echo(conninfo: str) -> None:
    """Send a notification for each one that is heard, until `end` comes."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("listen benchmark_ping")
        print(json.dumps("ready"), flush=True)
        while True:
            for heard in list(connection.notifies(timeout=60, stop_after=1)):
                if heard.payload == "end":
                    return
                connection.execute("notify benchmark_pong")


if __name__ == "__main__":
    main()
