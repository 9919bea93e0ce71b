"""What the drivers of the Python peers share. It runs in the peer's own environment, without steve and without psycopg.

figures.py starts it (see `Peer.command`). First line on stdin: the options, as JSON; then `fill` and `create` are carried out
and answered with a line, while `work` says that it is ready, waits for a line, answers with the time at which it calls its
library, and works until it is killed, or stdin ends. Which database: libpq's environment variables, which all peers know.
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
"""The URL of what libpq's environment variables name."""

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
    os._exit(0)  # some leave threads behind


def batches(size: int) -> Iterator[range]:
    """The jobs to fill in, by number."""
    for first in range(0, jobs, size):
        yield range(first, min(first + size, jobs))


def creating() -> Iterator[int]:
    """The jobs to create one at a time; each has been created when the loop asks for the next."""
    made = _board.made
    for i in range(jobs):
        if _every:  # not in step with anything that happens once in so many milliseconds
            time.sleep(_every * random.uniform(0.5, 1.5))
        yield i
        made[i] = time.monotonic_ns()


def wait_for_start() -> None:
    """To be called right before the library's own start."""
    _answer("ready")
    sys.stdin.readline()
    _answer(time.monotonic_ns())
    _end_with_stdin()


def begun(i: int) -> None:
    """A handler has begun job `i`."""
    _board.begun[i] = time.monotonic_ns()
    _board.runs[i] += 1


def _end_with_stdin() -> None:
    """None outlives the benchmark, whatever becomes of that."""

    def end() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()


def _answer(answer: object) -> None:
    print(json.dumps(answer), file=_answers, flush=True)
