"""The child of a fork has the memory of its parent and none of its threads. What it must not go on using is reset here.

The parts of a manager that hold locks, threads or connections register here.
"""

from __future__ import annotations

import os
import sys
from typing import Protocol
from weakref import WeakSet

from steve._runtime.exit import interpreter
from steve._runtime.log import logger


class Forkable(Protocol):
    def reset_after_fork(self) -> None:
        """In the child: become as if never used. Threads that do not exist here may hold locks."""


_forkables: WeakSet[Forkable] = WeakSet()
_left_alone: list[object] = []
"""What the parent goes on using. The child keeps it, so that it is never finalized here."""


def register(one: Forkable) -> None:
    _forkables.add(one)


def leave_alone(*parents: object) -> None:
    _left_alone.extend(parents)


_pid = os.getpid()


def notice_fork() -> None:
    """For forks that Python is not told of, as uWSGI's: the hook below is not called then, so the next call of a manager does
    its work."""
    if os.getpid() != _pid:
        _in_child()


def _in_child() -> None:
    global _pid
    _pid = os.getpid()
    interpreter.forget()
    for one in list(_forkables):
        try:
            one.reset_after_fork()
        except Exception:  # the others have to be reset all the same
            logger.exception("a manager could not be reset in the child of a fork")


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_in_child)


def end_child(error: BaseException | None) -> None:
    """End the child that a user's function forked, and that has come back out of that function: the run is the parent's."""
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
