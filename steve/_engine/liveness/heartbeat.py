"""The thread that shows that this process lives. It has a connection that nothing else uses, and it also looks at the other
processes.

The session of that connection holds the lock of the process's row (`sql/beat.sql`), and other processes see within seconds when
the session is gone. So this thread waits for the loss of the connection as well as for the next look, and on a new connection
it beats at once. What it sees of other processes goes to `rescue.py`. When others may have taken this process for dead,
`liveness.py` finds out which jobs it has lost.

The session also hears when jobs are paused or resumed, and each look reads what is paused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from steve._database.backoff import Backoff
from steve._database.failures import DatabaseFailure
from steve._database.statements.processes import Look
from steve._engine.upkeep.outage import Outage
from steve._model.process import Process, estimate_processes
from steve._model.tuning import Tuning
from steve._runtime.chance import chance
from steve._runtime.log import logger
from steve._runtime.socket_wait import SocketWait

LOOP = "the heartbeat"


class BeatPort(Protocol):
    """The heartbeat's connection."""

    def beat(self, *, beat: bool, locked: bool, most: int) -> tuple[Look, int]:
        """Look at the next `most` processes, and with `beat` also write a heartbeat. Opens the connection if need be. `locked`:
        the session holds the lock of the row. Returns the look, and the number of the connection's socket. Raises
        DatabaseFailure."""

    def is_open(self) -> bool: ...

    def close(self) -> None: ...


class LookPort(Protocol):
    """Takes what the heartbeat saw. The heartbeat's thread calls these methods."""

    def on_look(self, look: Look, *, connected: float, unbroken: float) -> None:
        """`connected`, `unbroken`: seconds, as in `Observer`."""

    def on_doubt(self) -> None:
        """Before the beat that was just made, other processes may have taken jobs of this one."""


class Heartbeat:
    def __init__(
        self,
        *,
        database: BeatPort,
        looks: LookPort,
        interval: float,
        descriptor: int | None,
        outage: Outage,
        tuning: Tuning,
    ) -> None:
        """`descriptor`: the number of the connection's socket, if its session has just taken the lock of the row; None: no
        session holds the lock."""
        self._database = database
        self._looks = looks
        self._interval = interval
        self._outage = outage
        self._tuning = tuning
        self._backoff = Backoff(tuning)
        self._descriptor = descriptor
        self._connected_at = None if descriptor is None else time.monotonic()
        self._locked = descriptor is not None
        self._beaten_at = self._unbroken_since = self._connected_at or 0.0
        # When the last beat was; the registration counts as the first. Unlike _beaten_at, this is never set to 0 to make a beat
        # due at once.
        self._beat_at = time.monotonic()
        # Held during a beat, across the statement. After `end` has taken it, no beat can insert the row again.
        self._beating = threading.Lock()
        self._is_ended = False
        self._most = tuning.look_most
        self._every = tuning.look_interval
        self.processes: int | None = None
        """About how many processes there are, this one included. None: this process has not looked yet."""
        self._wait = SocketWait()

    def end(self) -> None:
        """No beat begins after this. Waits for a beat under way, at most `shutdown_grace`."""
        self._is_ended = True
        if self._beating.acquire(timeout=self._tuning.shutdown_grace):
            self._beating.release()
        self._wait.wake()

    def look_soon(self) -> None:
        """Look at once, not only when the next look is due. From any thread."""
        self._wait.wake()

    def age(self) -> float:
        """Seconds since the last beat that was answered."""
        return time.monotonic() - self._beat_at

    def run(self) -> None:
        try:
            self._run()
        except BaseException:
            self._drop()  # nobody knows now whether the session holds the lock
            raise

    def _run(self) -> None:
        if self._locked:
            self._wait.wait(self._descriptor, self._seconds_to_next())
        while True:
            self._wait.rearm()
            if self._is_ended:
                break
            try:
                descriptor = self._once()
                self._outage.worked(LOOP)
                self._backoff.reset()
                self._wait.wait(descriptor, self._seconds_to_next())
            except Exception as error:
                # An open connection is kept, because its session holds the lock. This process must not look dead only because
                # it cannot write a beat, for example while its role lacks a right.
                if not self._database.is_open():
                    self._drop()
                if isinstance(error, DatabaseFailure):
                    self._outage.failed(LOOP, error)
                else:
                    logger.exception("a heartbeat failed; the next will come")
                self._wait.wait(None, self._backoff.next())
        self._drop()
        self._wait.close()

    def _once(self) -> int | None:
        with self._beating:
            if self._is_ended:
                return None
            began = time.monotonic()
            if self._connected_at is None:
                self._connected_at = began
            beats = self._is_beat_due(began)
            look, descriptor = self._database.beat(beat=beats, locked=self._locked, most=self._most)
        own = look.own
        if own is not None:
            self.processes = estimate_processes(own.id, [process.id for process in look.others], self._most)
        self._most = how_many(look.others, look.seen_at, self._tuning)
        self._every = how_often(look.others, self._most, self._interval, self._tuning)
        # By the server's clock, because the clock of this machine may have stood still while the machine was suspended.
        if beats and (own is None or own.suspected_at is not None or look.seen_at - own.heartbeat_at >= own.lease):
            self._looks.on_doubt()
        if beats:
            self._locked = look.locked
            # This process paused: it was stopped, or a handler starved this thread. So it does not know how long other
            # processes have been silent.
            if began - self._beaten_at > 2 * self._interval + self._tuning.look_interval:
                self._unbroken_since = began
            self._beaten_at = self._beat_at = began
        elif own is None or own.suspected_at is not None:
            self._beaten_at = 0.0  # a beat is due at once: it corrects the row
        connected, unbroken = began - self._connected_at, began - self._unbroken_since
        self._looks.on_look(look, connected=connected, unbroken=unbroken)
        return descriptor

    def _is_beat_due(self, now: float) -> bool:
        """Beats are made together with looks. So a beat is due if the next look may come too late for it."""
        return not self._locked or now + self._every * 1.25 >= self._beaten_at + self._interval

    def _seconds_to_next(self) -> float:
        if not self._beaten_at:
            return 0.0
        # A little more or less, at random, so that processes do not look in step.
        return min(self._every * chance.uniform(0.75, 1.25), self._interval)

    def _drop(self) -> None:
        self._connected_at = None
        self._locked = False
        self._unbroken_since = self._beaten_at = 0.0
        self._database.close()


def how_many(others: Sequence[Process], now: float, tuning: Tuning) -> int:
    """At how many processes to look next time, after a look that showed these. `now`: by the server's clock.

    If some of them are dead or silent, the processes behind them may have nobody else who looks at them.
    """
    return tuning.look_most + 2 * sum(
        process.lock_is_free or process.suspected_at is not None or now - process.heartbeat_at > process.lease / 2
        for process in others
    )


def how_often(others: Sequence[Process], most: int, heartbeat: float, tuning: Tuning) -> float:
    """Seconds until the next look, after a look that showed these, where the next one is at so many.

    As many processes look at this one as it looks at itself. So the more it sees, the less often each has to look: together
    they look at a process twice in `Tuning.look_interval`. In a large fleet a heartbeat is look enough. If one of them seems
    dead, it must not wait.
    """
    seems_dead = most > tuning.look_most
    longer = 0.0 if seems_dead else min(tuning.look_interval * len(others) / 2, heartbeat)
    return max(longer, tuning.look_interval)
