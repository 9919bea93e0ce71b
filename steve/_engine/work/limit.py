"""Limit: the timeout of one run, from the call of its handler to the return. Limits: which runs have one.

At the deadline nothing has to be done for `current_run().timed_out` and `wait()`, which look at the clock. TimeLimit is raised
into the handler if it is to be interrupted (`window.py`). A handler that has not returned `stuck_after` seconds later is stuck
(`stuck.py`). What else ends at the deadline, statements of the handler, has entries of its own (`interrupts.py`).
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

from steve._database.interrupt import is_cancellation
from steve._engine.work.deadlines import Deadlines
from steve._engine.work.handlers import Handlers
from steve._engine.work.window import Window
from steve._model.claimed import Claimed
from steve._model.settings import Settings
from steve.errors import Stopped, TimeLimit

AGAIN = 0.1
"""How often it is looked at while it cannot be interrupted yet, in seconds."""


CHAIN_MOST = 20
"""How many causes of an error are looked at. A chain of causes may be a circle."""


class StuckPort(Protocol):
    """Both are called on the thread that watches the deadlines."""

    def add(self, limit: Limit) -> None: ...

    def remove(self, limit: Limit) -> None: ...


class Limit:
    """Made on the thread of the run. All runs that have none share no object for it: it is None."""

    __slots__ = (
        "_has_returned", "_limits", "_lock", "at", "deadline", "is_over", "is_stuck", "job", "seconds", "thread",
        "was_cancelled", "window",
    )  # fmt: skip

    def __init__(self, *, job: Claimed, seconds: float, window: Window | None, limits: Limits) -> None:
        self.job = job
        self.seconds = seconds
        self.window = window
        """None: TimeLimit is not raised."""
        self.deadline = self.at = time.monotonic() + seconds
        self.thread = threading.get_ident()
        self.was_cancelled = False
        """Whether PostgreSQL was asked to cancel a statement of the handler because of the deadline."""
        self._limits = limits
        # Protects the three below. Nothing is called under it.
        self._lock = threading.Lock()
        self.is_over = self.is_stuck = self._has_returned = False

    @property
    def stuck_after(self) -> float:
        return self._limits.stuck_after

    def finish(self) -> None:
        """On the thread of the run: the handler has returned."""
        with self._lock:
            self._has_returned = True
            self.is_over = not self.is_stuck
        if self.is_over:
            self._limits.deadlines.over()
        else:
            self._limits.deadlines.watch(self, 0.0)

    def look(self, now: float) -> float | None:
        if now < self.deadline:
            return self.deadline
        is_done = self.window is None or self.window.interrupt()
        stuck_at = self.deadline + self.stuck_after
        with self._lock:
            was_stuck = self.is_stuck
            has_returned = self.is_over = self._has_returned
            if not has_returned and now >= stuck_at:
                self.is_stuck = True
        if has_returned:
            if was_stuck:
                self._limits.stuck.remove(self)
            return None
        if self.is_stuck and not was_stuck:
            self._limits.stuck.add(self)
        if not is_done:
            return now + AGAIN
        return None if self.is_stuck else stuck_at


class Limits:
    """What time a run may take: the timeout of `create`, else that of its handler, else that of the manager."""

    def __init__(self, *, handlers: Handlers, settings: Settings, deadlines: Deadlines, stuck: StuckPort) -> None:
        self.deadlines = deadlines
        self.stuck = stuck
        self.stuck_after = settings.stuck_after
        self._handlers = handlers
        self._default = settings.timeout

    def begin(self, job: Claimed, timeout: float | None) -> Limit | None:
        """The run begins now. `timeout`: that of `create`. Returns None if the run has no timeout."""
        terms = self._handlers.terms(job.type)
        if timeout is None and terms is not None:
            timeout = terms.timeout
        if timeout is None:
            timeout = self._default
        if timeout is None:
            return None
        window = Window() if terms is not None and terms.interrupt else None
        limit = Limit(job=job, seconds=timeout, window=window, limits=self)
        self.deadlines.watch(limit, limit.deadline)
        return limit


def is_because_of_deadline(error: BaseException, limit: Limit) -> bool:
    """Whether the handler raised this, after its deadline, because of it: it was interrupted, `check()` said so, or PostgreSQL
    was asked to cancel its statement. A library may have raised an error of its own from that."""
    one: BaseException | None = error
    try:
        for _ in range(CHAIN_MOST):
            if one is None:
                break
            if isinstance(one, TimeLimit) or (isinstance(one, Stopped) and one.reason == "timed_out"):
                return True
            if limit.was_cancelled and is_cancellation(one):
                return True
            one = one.__cause__ or one.__context__
        return False
    except BaseException:  # an error may answer what it likes when it is asked for its class or its cause
        return False
    finally:
        del one  # its traceback refers to the frame of the caller
