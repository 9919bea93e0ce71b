"""A process that creates jobs: `python -m tests.benchmarks.creator`. processes.py starts it.

It reads its options as JSON from stdin. When all jobs are created, it prints as JSON how many seconds that took.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg

from steve import JobManager, NewJob
from steve._client.enqueue import checked
from steve._database.execute import read_statement
from steve._database.statements.script import channel_of
from steve._model.settings import Settings

from .board import Board
from .options import CreatorOptions

WARM_UP = 20
"""Jobs that each thread creates before the clock starts, so that connections are open and statements prepared."""


def main() -> None:
    options = CreatorOptions(**json.loads(sys.stdin.readline()))
    seconds = {"create": by_create, "insert": by_insert, "create_many": by_create_many, "connection": by_connection}[
        options.how
    ]
    print(json.dumps(seconds(options)), flush=True)


def by_create(options: CreatorOptions) -> float:
    """Call `manager.create` in each thread, for one job after the other."""
    manager = JobManager(options.conninfo, schema=options.schema)
    board = Board(Path(options.board), options.jobs) if options.board else None

    def create(numbers: Iterable[int]) -> None:
        for i in numbers:
            manager.create(options.type, {"i": i}, notify=options.notify)
            if board is not None:
                board.made[i] = time.monotonic_ns()
            if options.every:  # random, so as not to keep step with anything periodic
                time.sleep(options.every * random.uniform(0.5, 1.5))

    def warm_up(_: int) -> Callable[[Iterable[int]], None]:
        for _ in range(WARM_UP):
            manager.create("warm up", notify=False)
        return create

    try:
        return _in_threads(options, warm_up)
    finally:
        manager.stop()


def by_insert(options: CreatorOptions) -> float:
    """Send the same INSERT by psycopg alone, with a connection for each thread and parameters made before the clock starts."""
    statement = read_statement(files("steve._database").joinpath("sql", "insert_job.sql").read_text(), options.schema)
    fixed = {"notify": options.notify is not False, "sparing": False, "channel": channel_of(options.schema)}

    def parameters(type: str, i: int) -> dict[str, Any]:
        insert = checked(NewJob(type, {"i": i}), Settings())
        return insert.terms._asdict() | {"uid": insert.uid, "payload": insert.payload} | fixed

    with ExitStack() as connections:

        def warm_up(thread: int) -> Callable[[Iterable[int]], None]:
            connection = connections.enter_context(psycopg.connect(options.conninfo, autocommit=True))
            cursor = connection.cursor()
            for i in range(WARM_UP):
                cursor.execute(statement, parameters("warm up", i) | {"notify": False})
            prepared = [parameters(options.type, i) for i in _share(options, thread)]

            def insert(_: Iterable[int]) -> None:
                for one in prepared:
                    cursor.execute(statement, one)
                    cursor.fetchone()

            return insert

        return _in_threads(options, warm_up)


def by_create_many(options: CreatorOptions) -> float:
    manager = JobManager(options.conninfo, schema=options.schema)
    manager.create_many([("warm up", {"i": i}) for i in range(WARM_UP)], notify=False)
    jobs = [(options.type, {"i": i}) for i in _share(options, 0)]
    begun = time.monotonic()
    manager.create_many(jobs, notify=options.notify)
    seconds = time.monotonic() - begun
    manager.stop()
    return seconds


def by_connection(options: CreatorOptions) -> float:
    """Call `manager.create` inside one transaction of the caller's."""
    manager = JobManager("", schema=options.schema)
    with psycopg.connect(options.conninfo) as connection:
        begun = time.monotonic()
        for i in _share(options, 0):
            manager.create(options.type, {"i": i}, connection=connection)
        return time.monotonic() - begun


def _in_threads(options: CreatorOptions, warm_up: Callable[[int], Callable[[Iterable[int]], None]]) -> float:
    """The seconds from the moment at which all threads were ready until the last one had done its share."""
    together = threading.Barrier(options.threads + 1)
    failures: list[BaseException] = []

    def body(thread: int) -> None:
        try:
            work = warm_up(thread)
            together.wait(60)
            work(_share(options, thread))
        except BaseException as error:
            failures.append(error)
            together.abort()

    threads = [threading.Thread(target=body, args=[thread]) for thread in range(options.threads)]
    for thread in threads:
        thread.start()
    try:
        together.wait(60)
        begun = time.monotonic()
    except threading.BrokenBarrierError:
        begun = 0.0
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.monotonic() - begun


def _share(options: CreatorOptions, thread: int) -> range:
    return range(options.first + thread, options.first + options.count, options.threads)


if __name__ == "__main__":
    main()
