"""Keeps N worker processes alive: `--processes N` of `steve run`, `manage.py steve worker` and `flask steve worker`.

The processes are begun anew instead of forked, because a fork copies locks and open connections, and none of the threads. A
signal to end reaches them as SIGTERM. One that dies is replaced: the pause before that doubles while each one dies young. One
that ends because a limit is reached is replaced at once. One that says that it can never start ends them all.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

PAUSE_LEAST, PAUSE_MOST = 0.1, 30.0
"""Seconds before a process that died is replaced. They double while each one dies young."""
OLD_ENOUGH = 10.0
"""A process that has lived so many seconds did not die young."""
PATIENCE = 5.0
"""Seconds beyond the timeout of the stop, after which a process is killed."""
LIMIT = 75
"""The exit code of a worker that has reached a limit."""
HOPELESS = 2
"""The exit code of a worker whose arguments are wrong: another one would end in the same way."""
UNPREPARED = -signal.SIGTERM
"""The code of a process that was told to end before it had its handler for that."""
PARENT = "STEVE_PARENT"
"""The environment variable that tells a process who its parent is."""
LOOK_EVERY = 0.05

logger = logging.getLogger("steve")


def same_command(arguments: Sequence[str] = sys.argv) -> list[str]:
    """The command line of one worker process: this one's without --processes and --reload."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--processes":
            next(words, None)
        elif word != "--reload" and not word.startswith("--processes="):
            kept.append(word)
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.parent or spec.name] if spec is not None else kept[:1]
    return [sys.executable, *program, *kept[1:]]


def is_child() -> bool:
    """Whether a Supervisor has begun this process. It runs jobs then, whatever the environment says of options: a setting such
    as FLASK_STEVE_WORKER_PROCESSES reaches the children, too."""
    return PARENT in os.environ


def stop_when_alone(stop: Callable[[], object]) -> None:
    """In a process that a Supervisor has begun: call `stop()` when its parent has died, again and again, for the first call may
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


class Supervisor:
    def __init__(
        self,
        command: Sequence[str],
        *,
        number: int = 1,
        stop_timeout: float | None = 30.0,
        has_changed: Callable[[], bool] | None = None,
    ) -> None:
        """`command`: what each process runs.
        `stop_timeout`: that of the processes. One that lives for longer after a signal is killed.
        `has_changed`: asked again and again. If it returns True, all processes are stopped and begun anew. With it, a process
        that died is not replaced before the next change.
        """
        self._command = list(command)
        self._slots = [Slot() for _ in range(number)]
        self._stop_timeout = stop_timeout
        self._has_changed = has_changed
        self._stopping_since: float | None = None
        self._code = 0

    def run(self) -> int:
        """Returns the exit code: 0 if each process ended with 0 in the end, 2 if one could never start, else 1. On the main
        thread only."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        quiet: signal.Signals | None = getattr(signal, "SIGTSTP", None)  # Windows has none
        if quiet is not None:
            before[quiet] = signal.signal(quiet, self._forward)
        try:
            while self._step():
                time.sleep(LOOK_EVERY)
        finally:
            for slot in self._slots:
                slot.kill()
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._code or int(any(slot.code != 0 for slot in self._slots))

    def _step(self) -> bool:
        """Look at each process. Returns whether there is still something to do."""
        now = time.monotonic()
        if self._has_changed is not None and self._stopping_since is None and self._has_changed():
            logger.info("the code has changed: beginning anew")
            for slot in self._slots:
                slot.renew(now, self._patience)
        for slot in self._slots:
            if slot.look(now) and self._has_changed is not None:
                slot.not_before = float("inf")  # the next change makes it another one
            if slot.code == HOPELESS and slot.process is None and self._has_changed is None:
                self._give_up(now)
            is_stopping = self._stopping_since is not None
            if slot.process is None and slot.is_wanted and not is_stopping and now >= slot.not_before:
                slot.begin(self._command, now)
            if is_stopping and not slot.is_told:  # it began while the signal came
                slot.send(signal.SIGTERM)
        since, patience = self._stopping_since, self._patience
        if since is not None and patience is not None and now > since + patience:
            return False
        return any(slot.process is not None or (slot.is_wanted and since is None) for slot in self._slots)

    @property
    def _patience(self) -> float | None:
        return None if self._stop_timeout is None else self._stop_timeout + PATIENCE

    def _give_up(self, now: float) -> None:
        if self._stopping_since is None:
            logger.error("a worker process cannot start: stopping")
            self._code, self._stopping_since = HOPELESS, now

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """The processes count the signals themselves: the second ends the wait for handlers. Ctrl-C reaches those of a terminal
        twice otherwise, so they have process groups of their own. It becomes SIGTERM, which ends a process that has only begun:
        Ctrl-C would raise KeyboardInterrupt wherever its imports are."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
        self._forward(signal.SIGTERM, frame)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        for slot in self._slots:
            slot.send(number)


class Slot:
    """The place of one process, and of those that replace it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.code = 0
        self.is_wanted = True
        """False: it has ended by itself, without an error."""
        self.not_before = 0.0
        self.is_told = False
        """Whether it was sent a signal to end."""
        self._is_renewed = False
        """Whether another one takes its place when it has ended, however it ends."""
        self._kill_at: float | None = None
        self._begun_at = 0.0
        self._pause = PAUSE_LEAST

    def begin(self, command: Sequence[str], now: float) -> None:
        self._begun_at, self.is_told, self._is_renewed, self._kill_at = now, False, False, None
        environ = {**os.environ, PARENT: str(os.getpid())}
        self.process = subprocess.Popen(command, start_new_session=True, env=environ)

    def renew(self, now: float, patience: float | None) -> None:
        self._pause, self.not_before = PAUSE_LEAST, now
        if self.process is not None:
            self._is_renewed, self._kill_at = True, None if patience is None else now + patience
            self.process.send_signal(signal.SIGTERM)

    def look(self, now: float) -> bool:
        """Note whether the process has ended. Returns whether it has died, and nobody wanted that."""
        if self.process is None:
            return False
        if self._kill_at is not None and now > self._kill_at:
            self.process.kill()
        if (code := self.process.poll()) is None:
            return False
        pid, self.process, self.code = self.process.pid, None, code
        if self._is_renewed or code == LIMIT:
            self.code, self.not_before = 0, now
        elif code == 0 or (self.is_told and code == UNPREPARED):
            self.code, self.is_wanted = 0, False
        else:
            self._pause = PAUSE_LEAST if now - self._begun_at >= OLD_ENOUGH else min(self._pause * 2, PAUSE_MOST)
            self.not_before = now + self._pause
            logger.warning("worker process %d ended with the code %d", pid, code)
            return True
        return False

    def send(self, number: int) -> None:
        if self.process is not None:
            self.is_told = self.is_told or number == signal.SIGTERM
            self.process.send_signal(number)  # does nothing to a process that has ended

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.code = self.process.wait()
            self.process = None


class FileWatch:
    """Whether Python files under a folder have changed since the last call. It looks at most every `seconds`."""

    PASSED_BY = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})

    def __init__(self, folder: str | os.PathLike[str], *, seconds: float = 0.5) -> None:
        self._folder = Path(folder)
        self._seconds = seconds
        self._seen = self._look()
        self._next = time.monotonic() + seconds

    def __call__(self) -> bool:
        if time.monotonic() < self._next:
            return False
        before, self._seen = self._seen, self._look()
        self._next = time.monotonic() + self._seconds
        return before != self._seen

    def _look(self) -> dict[str, float]:
        return {str(file): at for file in self._files() if (at := _changed_at(file)) is not None}

    def _files(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if name not in self.PASSED_BY and not name.startswith(".")]
            yield from (Path(folder, name) for name in names if name.endswith(".py"))


def _changed_at(file: Path) -> float | None:
    try:
        return file.stat().st_mtime
    except OSError:  # it is gone
        return None
