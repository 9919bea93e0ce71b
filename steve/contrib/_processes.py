"""`manage.py steve worker --processes N`, and the same with `flask`: the command in N processes, each of which is replaced when
it dies.

They are begun anew instead of forked, because a fork copies locks and open connections, and none of the threads.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

PAUSE_LEAST, PAUSE_MOST = 0.1, 30.0
"""Seconds before a process that died is replaced. They double while each one dies young."""
OLD_ENOUGH = 10.0
"""A process that has lived so many seconds did not die young."""
PATIENCE = 5.0
"""Seconds beyond the timeout of the stop, after which a process is killed."""
LIMIT = 75
"""The code with which a worker ends that has reached a limit: another one takes its place at once."""
UNPREPARED = (-signal.SIGTERM, -signal.SIGINT)
"""The codes of a process that got a signal before it had its handlers for them."""
PARENT = "STEVE_PARENT"
"""The environment variable that tells a process who its parent is."""

logger = logging.getLogger("steve")


def same_command(arguments: Sequence[str] = sys.argv) -> list[str]:
    """The command line of one worker process: this one's without --processes."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--processes":
            next(words, None)
        elif not word.startswith("--processes="):
            kept.append(word)
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.parent or spec.name] if spec is not None else kept[:1]
    return [sys.executable, *program, *kept[1:]]


def stop_when_alone(stop: Callable[[], object]) -> None:
    """In a process that `Processes` has begun: call `stop()` when its parent has died, again and again, for the first call may
    come before the start. Elsewhere this does nothing."""
    parent = os.environ.pop(PARENT, None)  # popped: a child of this process has another parent
    if parent is None:
        return

    def watch() -> None:
        while True:
            time.sleep(1.0)
            if os.getppid() != int(parent):
                stop()

    threading.Thread(target=watch, name="steve-parent", daemon=True).start()


class Processes:
    def __init__(self, *, number: int, stop_timeout: float | None, command: Sequence[str] | None = None) -> None:
        """`command`: what each process runs; None: the worker of this program."""
        self._command = list(command or same_command())
        self._slots = [_Slot() for _ in range(number)]
        self._stop_timeout = stop_timeout
        self._stopping_since: float | None = None

    def run(self) -> int:
        """Returns the exit code: 0 if each process ended with 0 in the end, else 1. On the main thread only."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        quiet: signal.Signals | None = getattr(signal, "SIGTSTP", None)  # Windows has none
        if quiet is not None:
            before[quiet] = signal.signal(quiet, self._forward)
        try:
            while self._step():
                time.sleep(0.05)
        finally:
            for slot in self._slots:
                slot.kill()
            for number, handler in before.items():
                signal.signal(number, handler)
        return int(any(slot.code != 0 for slot in self._slots))

    def _step(self) -> bool:
        """Look at each process. Returns whether there is still something to do."""
        now, is_stopping = time.monotonic(), self._stopping_since is not None
        for slot in self._slots:
            slot.look(now)
            if slot.process is None and slot.is_wanted and not is_stopping and now >= slot.not_before:
                slot.begin(self._command, now)
            if is_stopping and not slot.is_told:  # it began while the signal came
                slot.send(signal.SIGTERM)
        since, timeout = self._stopping_since, self._stop_timeout
        if since is not None and timeout is not None and now > since + timeout + PATIENCE:
            return False
        return any(slot.process is not None or (slot.is_wanted and not is_stopping) for slot in self._slots)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """The processes count the signals themselves: the second ends the wait for handlers. Ctrl-C reaches those of a terminal
        twice otherwise, so they have process groups of their own."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
        self._forward(number, frame)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        for slot in self._slots:
            slot.send(number)


class _Slot:
    """The place of one process, and of those that replace it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.code = 0
        self.is_wanted = True
        """False: it has ended by itself, without an error: --burst."""
        self.not_before = 0.0
        self.is_told = False
        """Whether it was sent a signal."""
        self._begun_at = 0.0
        self._pause = PAUSE_LEAST

    def begin(self, command: Sequence[str], now: float) -> None:
        self._begun_at, self.is_told = now, False
        environ = {**os.environ, PARENT: str(os.getpid())}
        self.process = subprocess.Popen(command, start_new_session=True, env=environ)

    def look(self, now: float) -> None:
        """Note whether the process has ended."""
        if self.process is None or (code := self.process.poll()) is None:
            return
        pid, self.process, self.code = self.process.pid, None, code
        if code == 0 or (self.is_told and code in UNPREPARED):
            self.code, self.is_wanted = 0, False
        elif code == LIMIT:
            self.code, self.not_before = 0, now
        else:
            self._pause = PAUSE_LEAST if now - self._begun_at >= OLD_ENOUGH else min(self._pause * 2, PAUSE_MOST)
            self.not_before = now + self._pause
            logger.warning("worker process %d ended with the code %d", pid, code)

    def send(self, number: int) -> None:
        if self.process is not None:
            self.is_told = self.is_told or number in (signal.SIGTERM, signal.SIGINT)
            self.process.send_signal(number)  # does nothing to a process that has ended

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.code = self.process.wait()
            self.process = None
