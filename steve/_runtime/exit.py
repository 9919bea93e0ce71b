"""The hook at the interpreter's exit. It ends the engines first, for programs that forget `stop()`.

After the main thread, Python first ends the executors of `concurrent.futures` and then waits for threads. A handler that still
runs could use no executor any more, and no `asyncio.to_thread`, so its attempt would fail. Therefore this hook runs before
that, and waits for the handlers. (Python calls the hooks in the reverse order of their registration.)

From Python 3.12 on, no thread can be started by that time, and no hook runs earlier. An attempt that fails because of that does
not count.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - registers its hook before ours
import threading
from typing import Protocol
from weakref import WeakSet


class Stoppable(Protocol):
    def ask_to_stop(self) -> None:
        """Begin to stop. Returns at once."""

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """Whether it has ended. Waits at most `seconds` for that; None: as long as it takes."""


class _Exit:
    def __init__(self) -> None:
        self.is_exiting = False
        self._registered = False
        self._engines: WeakSet[Stoppable] = WeakSet()
        self._last: WeakSet[Stoppable] = WeakSet()

    def ends_after(self, engine: Stoppable) -> None:
        """Have this engine end before the interpreter exits."""
        self._engines.add(engine)
        self._register()

    def ends_last(self, one: Stoppable) -> None:
        """As `ends_after`, but only when the engines have ended, because their handlers may need it."""
        self._last.add(one)
        self._register()

    def _register(self) -> None:
        register = getattr(threading, "_register_atexit", None)  # Python's own, since 3.9; not documented
        if register is not None and not self._registered:
            self._registered = True
            register(self._end)

    def forget(self) -> None:
        """In the child of a fork: forget the engines, which run in the parent."""
        self._engines = WeakSet()
        self._last = WeakSet()

    def _end(self) -> None:
        self.is_exiting = True
        for group in (self._engines, self._last):
            members = list(group)
            for one in members:
                one.ask_to_stop()
            for one in members:
                one.wait_for_end()


interpreter = _Exit()

_SIGNS = ("interpreter shutdown", "after shutdown")


def is_refused(error: BaseException | None) -> bool:
    """Whether the error was raised because Python, at its exit, starts no thread, forks no process and uses no executor."""
    if not interpreter.is_exiting:
        return False
    for _ in range(20):  # a chain of causes may be a circle
        if error is None:
            break
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False
