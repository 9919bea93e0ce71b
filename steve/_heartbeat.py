"""The thread that says that this process lives, on a connection with nothing else on it; with each beat it looks at the others.

The session of that connection holds the lock of the process's row (`sql/beat.sql`): others see within seconds when it is gone.
So the thread waits for the loss of the connection as it waits for the next beat, and beats first thing on a new one. What it
sees goes to `_rescue`; when others may have taken this process for dead, `_alive` looks which jobs it lost.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable

from ._chance import chance
from ._log import logger
from ._notifier import Selector
from ._outage import Backoff, Outage
from ._processes import Look
from .errors import Trouble
from .settings import LOOK_SECONDS, PARTING_SECONDS


class Heartbeat:
    def __init__(
        self,
        beat: Callable[[bool, bool], tuple[Look, int]],
        close: Callable[[], None],
        is_open: Callable[[], bool],
        looked: Callable[[Look, float, float], None],
        doubted: Callable[[], None],
        outage: Outage,
        interval: float,
        descriptor: int | None = None,
    ) -> None:
        """`beat(beat, locked)` (re)opens the connection if need be, and returns what it saw and the number of its socket;
        `looked(look, connected, unbroken)` hears of each look, `doubted()` when others may have taken jobs of this process.
        `descriptor`: the socket of a connection whose session has just taken the lock."""
        self._beat = beat
        self._close = close
        self._is_open = is_open
        self._looked = looked
        self._doubted = doubted
        self._outage = outage
        self._interval = interval
        self._backoff = Backoff()
        self._descriptor = descriptor
        self._connected_at = None if descriptor is None else time.monotonic()
        self._locked = descriptor is not None
        self._beaten_at = self._unbroken_since = self._connected_at or 0.0
        # Registering was the first. Kept where _beaten_at is set back to make one due at once.
        self._beat_at = time.monotonic()
        # Held through a beat: after `end` has had it, none comes any more that would insert the row again.
        self._beating = threading.Lock()
        self._ended = False
        # A byte on this pair ends the wait at once.
        self._near_end, self._far_end = socket.socketpair()

    def end(self) -> None:
        """No beat after this; one that hangs is not waited for very long."""
        self._ended = True
        if self._beating.acquire(timeout=PARTING_SECONDS):
            self._beating.release()
        with contextlib.suppress(OSError):  # it has seen the end by itself already
            self._far_end.send(b".")

    def age(self) -> float:
        """Seconds since the last beat that had its answer."""
        return time.monotonic() - self._beat_at

    def run(self) -> None:
        try:
            self._run()
        except BaseException:
            self._drop()  # whether the session holds the lock is not known any more
            raise

    def _run(self) -> None:
        if self._locked:
            self._wait(self._descriptor, self._seconds_to_next())
        while not self._ended:
            try:
                descriptor = self._once()
                self._outage.worked("the heartbeat")
                self._backoff.reset()
                self._wait(descriptor, self._seconds_to_next())
            except Exception as error:
                # A session that lives keeps its lock: whatever keeps the beat from being written, a right that is missing for a
                # moment, say, this process is not to look dead.
                if not self._is_open():
                    self._drop()
                if isinstance(error, Trouble):
                    self._outage.failed("the heartbeat", error)
                else:
                    logger.exception("a heartbeat failed; the next will come")
                self._wait(None, self._backoff.next())
        self._drop()
        self._near_end.close()
        self._far_end.close()

    def _once(self) -> int | None:
        with self._beating:
            if self._ended:
                return None
            began = time.monotonic()
            if self._connected_at is None:
                self._connected_at = began
            beats = self._is_beat_due(began)
            look, descriptor = self._beat(beats, self._locked)
        own = look.own
        # By the server's clock: the own one may have stood still with the machine.
        if beats and (own is None or own.suspected_at is not None or look.seen_at - own.heartbeat_at >= own.lease):
            self._doubted()
        if beats:
            self._locked = look.locked
            # After a pause, this process's own (stopped, or starved by a handler), it knows nothing of the others either.
            if began - self._beaten_at > 2 * self._interval + LOOK_SECONDS:
                self._unbroken_since = began
            self._beaten_at = self._beat_at = began
        elif own is None or own.suspected_at is not None:
            self._beaten_at = 0.0  # to be put right at once
        self._looked(look, began - self._connected_at, began - self._unbroken_since)
        return descriptor

    def _is_beat_due(self, now: float) -> bool:
        """Beats ride on looks: one is due if the next look, at the latest, would be too late for it."""
        return not self._locked or now + LOOK_SECONDS * 1.25 >= self._beaten_at + self._interval

    def _seconds_to_next(self) -> float:
        if not self._beaten_at:
            return 0.0
        # jittered, so that processes do not look in step
        return min(LOOK_SECONDS * chance.uniform(0.75, 1.25), self._interval)

    def _drop(self) -> None:
        self._connected_at = None
        self._locked = False
        self._unbroken_since = self._beaten_at = 0.0
        self._close()

    def _wait(self, descriptor: int | None, seconds: float) -> None:
        """So long, or until the connection has something to say (its end, most likely), or until the end."""
        with Selector() as selector:
            selector.register(self._near_end, selectors.EVENT_READ)
            if descriptor is not None:
                selector.register(descriptor, selectors.EVENT_READ)
            selector.select(seconds)
