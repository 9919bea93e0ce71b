"""How an attempt ended, as a hook around its handler sees it. The words are those of `AttemptStatus`, and two more."""

from __future__ import annotations

from typing import Literal

from steve import Cancel, Run, Snooze, Stopped

Ending = Literal["success", "error", "cancelled", "snoozed", "lost"]


def ending_of(run: Run, error: BaseException | None) -> Ending:
    """`error`: what the handler raised; None: it returned."""
    return "success" if error is None else judge(error, cancelled=run.cancelled, lost=run.lost)


def judge(error: BaseException, *, cancelled: bool, lost: bool) -> Ending:
    """`cancelled`: somebody asked to cancel the job meanwhile. `lost`: another process has it, so the outcome is dropped."""
    if lost:
        return "lost"
    if cancelled or isinstance(error, Cancel):
        return "cancelled"
    if isinstance(error, Snooze) or (isinstance(error, Stopped) and error.reason != "timed_out"):
        return "snoozed"
    return "error"


def name_of(error: BaseException) -> str:
    """The class of an error, as `Attempt.error_type` has it: `builtins.ValueError`."""
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"
