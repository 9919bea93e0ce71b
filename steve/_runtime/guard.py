"""Calls a function of the user's so that nothing it does can harm the calling thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from steve._runtime.fork import end_child

T = TypeVar("T")


def call_guarded(function: Callable[..., object], *arguments: object) -> BaseException | None:
    """Call the function and return what it raised, or None. If the function forks and the child returns from it, the child ends
    here.

    The error's traceback refers to the caller's frame, so the caller should delete the error when it is no longer needed.
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


def call_here(function: Callable[..., T], *arguments: object) -> T:
    """Call the function. If it forks and the child returns from it, the child ends here: what stands around the call, a
    transaction for example, is the parent's to end."""
    pid = os.getpid()
    try:
        return function(*arguments)
    finally:
        if os.getpid() != pid:
            end_child(sys.exception())
