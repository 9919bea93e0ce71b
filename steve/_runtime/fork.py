"""The hook in the child of a fork. It resets the parts of managers that the child must not go on using.

A child has the memory of its parent and none of its threads. So the parts that hold locks, threads or connections register
here.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Collection
from typing import Protocol
from weakref import WeakSet

from steve._runtime.exit import interpreter
from steve._runtime.log import logger


class Forkable(Protocol):
    def reset_after_fork(self) -> None:
        """In the child: return to the state before the first use. Locks may be held by threads that do not exist here."""


_forkables: WeakSet[Forkable] = WeakSet()
_left_alone: list[object] = []
"""Objects that the parent goes on using. The child keeps a reference to each, so that none is finalized here."""


def register(one: Forkable) -> None:
    _forkables.add(one)


def leave_alone(*parents: object) -> None:
    _left_alone.extend(parents)


importing = threading.RLock()
"""Held while the first start of a manager imports the engine, and while any thread forks. Otherwise a child that was forked in
the middle of this import would wait for ever for the lock of a module, since it does not have the thread that holds it."""

held_back: Collection[signal.Signals] = ()
"""Signals that a child gets only after the hook. Until then it has the handlers of `JobManager.run()`, which do nothing for it:
if its parent ended it as soon as it had forked, it would live on."""
_mask: Collection[int] | None = None
"""The signals that the forking thread had blocked before. `importing` protects it. None: no signal is held back."""

_pid = os.getpid()


def notice_fork() -> None:
    """Do what the hook below does, if it was not called. Python does not notice the forks of some servers, such as uWSGI, so
    the methods of a manager call this first."""
    if os.getpid() != _pid:
        _in_child()


def _in_child() -> None:
    global _pid
    _pid = os.getpid()
    interpreter.forget()
    for one in list(_forkables):
        try:
            one.reset_after_fork()
        except Exception:  # the others must be reset nevertheless
            logger.exception("a manager could not be reset in the child of a fork")


def _before() -> None:
    global _mask
    importing.acquire()
    _mask = signal.pthread_sigmask(signal.SIG_BLOCK, held_back) if held_back else None


def _after() -> None:
    mask = _mask
    importing.release()
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_in_child)
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)


def end_child(error: BaseException | None) -> None:
    """End this process, a child that was forked in a user's function and returned from it: the run belongs to the parent."""
    status = 0 if error is None else 1
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
    os._exit(status)
