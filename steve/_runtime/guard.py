"""Calls a function of the user's that may do anything, without harm to the thread that calls it."""

from __future__ import annotations

import os
from collections.abc import Callable

from steve._runtime.fork import end_child


def call_guarded(function: Callable[..., object], *arguments: object) -> BaseException | None:
    """Returns what it raised, whatever that is. A child that it forked, and that comes back out of it, ends here.

    The error's traceback leads to the frame of the caller: delete it when it is no longer needed.
    """
    pid = os.getpid()
    raised: BaseException | None = None
    try:
        function(*arguments)
    except BaseException as error:
        raised = error
    if os.getpid() != pid:
        end_child(raised)
    try:
        return raised
    finally:
        del raised
