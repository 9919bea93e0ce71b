"""A process that works: `python -m tests.benchmarks.worker`. processes.py starts and steers it.

The first line on stdin holds the options, as JSON. The orders are `start` and `stop`; the end of stdin stops it, too. It
answers each with a line.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from pathlib import Path
from typing import Any

from steve import Job, JobManager, current_run

from .board import Board
from .options import WorkerOptions


def main() -> None:
    options = WorkerOptions(**json.loads(sys.stdin.readline()))
    board = Board(Path(options.board), options.jobs)
    manager = JobManager(options.conninfo, schema=options.schema)
    handler = make_handler(board, options.sleep, options.failing)
    for type in options.types:
        manager.set_handler(type, handler)
    if options.listen:
        told = board.told

        def count(job: Job) -> None:
            told[job.payload["i"]] += 1

        manager.on_done(None, count)
    if options.talk:
        manager.set_handler("talk", make_talker(options), capture_logs="INFO" if options.talk == "logs" else False)
    _say("ready")
    for line in sys.stdin:
        if line.strip() == "start":
            manager.create_many([("talk", {})] * options.talkers, priority=100)
            begun = time.monotonic_ns()
            manager.start(options.workers)
            _say(begun)
        else:
            break
    report = manager.stop(timeout=60)
    _say({"complete": report.complete, "returned": report.returned, "seconds": report.seconds})


def make_handler(board: Board, sleep: float, failing: float) -> Any:
    begun, runs = board.begun, board.runs
    now = time.monotonic_ns

    def noop(job: Job) -> None:
        i = job.payload["i"]
        begun[i] = now()
        runs[i] += 1

    def sleeping(job: Job) -> None:
        noop(job)
        time.sleep(sleep)

    def raising(job: Job) -> None:
        noop(job)
        if random.random() < failing:
            raise RuntimeError("by chance")

    return raising if failing else sleeping if sleep else noop


def make_talker(options: WorkerOptions) -> Any:
    """A handler that talks until the manager stops."""
    log = logging.getLogger("talker")
    log.setLevel(logging.INFO)
    log.addHandler(logging.NullHandler())
    tick = 0.01 if options.rate >= 100 else 1 / options.rate

    def talk(job: Job) -> None:
        run = current_run()
        number = 0
        while not run.stopping:
            for _ in range(round(options.rate * tick)):
                number += 1
                if options.talk == "progress":
                    run.progress(number, None, "a note")
                elif options.talk != "quiet":
                    log.info("line %d of job %s: some words of a usual length, as they stand in a log", number, job.uid)
            time.sleep(tick)

    return talk


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
