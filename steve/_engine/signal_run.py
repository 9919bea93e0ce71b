"""`JobManager.run()`: starts the manager, waits until SIGINT or SIGTERM comes or a limit is reached, and stops it. SIGTSTP
makes it quiet. The only module of steve that installs signal handlers.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from steve._engine.lull import Lull
from steve._engine.runner import Runner, check_timeout
from steve._engine.scaling import Scaling
from steve._engine.upkeep.threads import call_aside
from steve._model.pools import Workers
from steve._model.run_limits import RunLimits
from steve._runtime import fork
from steve._runtime.log import logger
from steve._runtime.memory import resident_mib
from steve.errors import NotRunning
from steve.report import StopReport

QUIET: signal.Signals | None = getattr(signal, "SIGTSTP", None)  # Windows has none


class SignalRun:
    """One call of `run()`."""

    def __init__(self, *, runner: Runner, scaling: Scaling, limits: RunLimits, log_patience: float) -> None:
        self._runner = runner
        self._scaling = scaling
        self._limits = limits
        self._reached: str | None = None
        """The name of the limit that was reached."""
        self._log_patience = log_patience
        self._signals = _Signals()
        self._before: dict[signal.Signals, Any] = {}
        self._is_hurried = False

    def reset_after_fork(self) -> None:
        """In the child of a fork: put the signal handlers back, because run() waits for signals only in the parent."""
        before, self._before = self._before, {}
        fork.held_back = ()
        with contextlib.suppress(ValueError):  # the fork was noticed on another thread, where Python refuses this
            _restore(before)

    def run(self, workers: Workers, stop_timeout: float | None, *, migrate: bool) -> StopReport:
        """Raises ValueError on any thread but the main one."""
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("run() waits for signals, which Python delivers to the main thread only: call start() and stop()")
        check_timeout("stop_timeout", stop_timeout)
        fork.register(self)
        try:
            self._start(workers, migrate)
            self._wait_for_cause()
            self._runner.request_stop()
            return replace(self._stop(stop_timeout), limit=self._reached)
        finally:
            before, self._before = self._before, {}
            if not self._is_hurried:
                _restore(before)
            fork.held_back = ()

    def _start(self, workers: Workers, migrate: bool) -> None:
        fork.held_back = [signal.SIGINT, signal.SIGTERM, *([] if QUIET is None else [QUIET])]
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._signals)
            if QUIET is not None:
                self._before[QUIET] = signal.signal(QUIET, self._signals.ask_for_quiet)
            self._runner.start(workers, migrate=migrate, max_jobs=self._limits.max_jobs)
        except _Interrupted:
            pass  # it counts as a signal that came just after the start
        finally:
            self._signals.starting = False

    def _wait_for_cause(self) -> None:
        """Wait until a signal comes, a limit is reached, or a handler calls stop()."""
        limits, lull = self._limits, Lull()
        seconds = 0.05 if limits.burst or limits.max_jobs is not None else 0.5
        while (engine := self._runner.engine()) is not None:
            got = self._signals.get(seconds)
            if got is not None and got is QUIET:
                call_aside(self._be_quiet, self._log_patience)  # it logs, and a scale() under way may take long
                continue
            if got is not None:
                why = f"got {got.name}"
            elif engine.running.have_all_run():
                self._reached, why = "max_jobs", f"max_jobs={self._limits.max_jobs} jobs have run"
            elif self._limits.max_memory is not None and (has := resident_mib()) >= self._limits.max_memory:
                self._reached, why = "max_memory", f"{has:.0f} MiB of memory, max_memory={self._limits.max_memory:g}"
            elif limits.burst and lull.has_come(engine):
                why = "no job is due"
            else:
                continue
            self._runner.request_stop()  # before logging, which blocks if the log is a pipe that nobody reads
            self._log(logger.info, f"stopping: {why}; a second signal ends the wait for handlers")
            return

    def _be_quiet(self) -> None:
        with contextlib.suppress(NotRunning):  # it stops already
            self._scaling.quiet()

    def _stop(self, timeout: float | None) -> StopReport:
        began = time.monotonic()
        while timeout is None or time.monotonic() < began + timeout:
            if self._runner.has_ended(0.1):
                break
            if self._signals.count >= 2:
                self._is_hurried = True
                for number in self._before:  # with the default handlers, one more signal ends the process
                    signal.signal(number, signal.SIG_DFL)
                text = "hurrying: handlers that have not returned are not waited for; a third signal ends the process"
                self._log(logger.warning, text)
                return self._runner.stop(0.0)
        return self._runner.stop(None if timeout is None else max(0.0, began + timeout - time.monotonic()))

    def _log(self, log: Any, text: str) -> None:
        call_aside(partial(log, text), self._log_patience)


class _Interrupted(KeyboardInterrupt):
    """A signal came while run() was starting. A KeyboardInterrupt, because that ends psycopg's waits."""


class _Signals:
    """The signals that run() got. It is their handler: Python calls it between any two lines of the main thread."""

    def __init__(self) -> None:
        self.starting = True
        """While True, a signal interrupts the start, which may be waiting for the database."""
        self.count = 0
        self._queue: SimpleQueue[int] = SimpleQueue()  # its put is safe in a signal handler

    def __call__(self, number: int, frame: object) -> None:
        self.count += 1
        self._queue.put(number)
        if self.starting:
            self.starting = False
            raise _Interrupted

    def ask_for_quiet(self, number: int, frame: object) -> None:
        self._queue.put(number)

    def get(self, seconds: float) -> signal.Signals | None:
        try:
            return signal.Signals(self._queue.get(timeout=seconds))
        except Empty:
            return None


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler or signal.SIG_DFL)  # None: C code installed it, and Python cannot put it back
