"""What the drivers of the Python peers share. It runs in the peer's own environment and needs neither steve nor psycopg.

figures.py starts it (see `Peer.command`). The first line on stdin holds the options, as JSON. The commands `fill` and `create`
are carried out, and then answered with a line. The command `work` answers that it is ready, waits for a line, answers with the
time at which it calls its library, and works until it is killed or stdin ends. libpq's environment variables, which all peers
know, name the database.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ..board import Board

ANYWHERE = "postgresql://"
"""A URL that leaves everything to libpq's environment variables."""

jobs: int
_every: float
_board: Board
_answers = sys.stdout


def main(name: str) -> None:
    global jobs, _every, _board
    options = json.loads(sys.stdin.readline())
    jobs, _every, _board = options["jobs"], options["every"], Board(Path(options["board"]), options["board_jobs"])
    sys.stdout = sys.stderr  # what a library prints is not an answer
    logging.disable(logging.CRITICAL)
    peer = importlib.import_module(f"{__package__}.drivers.{name}")
    if options["command"] == "work":
        peer.work()
        return
    _end_with_stdin()
    if options["command"] == "create":
        peer.create()
    else:
        peer.set_up()
        peer.fill()
    _answer("done")
    os._exit(0)  # some libraries leave threads behind


def batches(size: int) -> Iterator[range]:
    """The numbers of the jobs to fill in, in batches."""
    for first in range(0, jobs, size):
        yield range(first, min(first + size, jobs))


def creating() -> Iterator[int]:
    """The numbers of the jobs to create one at a time. The caller has created a job when it asks for the next."""
    made = _board.made
    for i in range(jobs):
        if _every:  # random, so as not to keep step with anything periodic
            time.sleep(_every * random.uniform(0.5, 1.5))
        yield i
        made[i] = time.monotonic_ns()


def wait_for_start() -> None:
    """Tell figures.py that we are ready, and wait. Call this right before the library's own start."""
    _answer("ready")
    sys.stdin.readline()
    _answer(time.monotonic_ns())
    _end_with_stdin()


def begun(i: int) -> None:
    """Note that a handler has begun job `i`."""
    _board.begun[i] = time.monotonic_ns()
    _board.runs[i] += 1


def _end_with_stdin() -> None:
    """End when stdin ends, so that no driver outlives the benchmark."""

    def end() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()


def _answer(answer: object) -> None:
    print(json.dumps(answer), file=_answers, flush=True)
