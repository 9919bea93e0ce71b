"""The end of the interpreter, for programs that forget `stop()`: engines end before anything else does.

When the main thread is over, Python first ends the executors of `concurrent.futures`, and only then waits for threads. A
handler that is still running could then use no executor, nor `asyncio.to_thread` and what is built on it, and its attempt would
fail. So this hook comes before that (hooks are called in the reverse order of their registration), and waits for the handlers.

Python 3.12 starts no thread from then on, and no hook comes earlier: an attempt that fails because of that is not counted.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - whose hook is to be registered before ours
import threading
from typing import Protocol
from weakref import WeakSet


class Stoppable(Protocol):
    def ask_to_stop(self) -> None:
        """Returns at once."""

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """None: however long that takes."""


class _Exit:
    def __init__(self) -> None:
        self.is_exiting = False
        self._registered = False
        self._engines: WeakSet[Stoppable] = WeakSet()

    def ends_after(self, engine: Stoppable) -> None:
        """Have it end before the interpreter does."""
        self._engines.add(engine)
        register = getattr(threading, "_register_atexit", None)  # Python's own, since 3.9; not documented
        if register is not None and not self._registered:
            self._registered = True
            register(self._end)

    def forget(self) -> None:
        """In the child of a fork: the engines are the parent's."""
        self._engines = WeakSet()

    def _end(self) -> None:
        self.is_exiting = True
        engines = list(self._engines)
        for engine in engines:
            engine.ask_to_stop()
        for engine in engines:
            engine.wait_for_end()


interpreter = _Exit()

_SIGNS = ("interpreter shutdown", "after shutdown")


def is_refused(error: BaseException | None) -> bool:
    """Whether Python refused to start a thread, to fork or to use an executor, because it exits."""
    if not interpreter.is_exiting:
        return False
    for _ in range(20):  # a chain may be a circle
        if error is None:
            break
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False
