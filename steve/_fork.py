"""The child of a fork has the memory of its parent and none of its threads: what it may not go on with is made anew.

Managers register here; `_run` and `listeners` ask whether a user's function came back in another process than it was called in.
"""

from __future__ import annotations

import os
import sys
from typing import Protocol
from weakref import WeakSet

from ._exit import interpreter
from ._log import logger


class Forkable(Protocol):
    def _begin_anew(self) -> None:
        """In the child: be as if never used. Locks may be held by threads that are not here."""


_forkables: WeakSet[Forkable] = WeakSet()
_left_alone: list[object] = []
"""What the parent goes on using: kept, so that no end of it is felt here."""


def register(one: Forkable) -> None:
    _forkables.add(one)


def leave_alone(*parents: object) -> None:
    _left_alone.extend(parents)


_pid = os.getpid()


def notice_fork() -> None:
    """Where something forks without telling Python, as uWSGI does, nobody calls the hook below: the next call of ours does."""
    if os.getpid() != _pid:
        _in_child()


def _in_child() -> None:
    global _pid
    _pid = os.getpid()
    interpreter.forget()
    for one in list(_forkables):
        try:
            one._begin_anew()
        except Exception:  # the next one's locks are held just the same
            logger.exception("a manager could not be made anew in the child of a fork")


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_in_child)


def end_child(error: BaseException | None) -> None:
    """A user's function forked, and its child has come back out of it: the run is the parent's, so the child ends here."""
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
