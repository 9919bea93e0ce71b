"""What is paused at present, as this process knows it. A pause is in force here from the moment at which this hears of it:
claims leave its jobs out, no worker begins one, and those that are in the buffer go back.

The heartbeat reads all pauses with each look (beat.sql). Its session listens to a channel for them, and a notification makes it
look at once. So one thread reads them, one look after the other, and no old answer can take the place of a newer one. It is
not the notifier that hears of them, because that stands back for a while when many processes hear of one job.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

from steve._model.claimed import Claimed
from steve._model.pauses import Paused, PauseInForce


class Pauses:
    """From any thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changing = threading.Lock()  # protects every write of `known`; nothing is called under it
        self.known: tuple[Known, ...] = ()
        """Empty as a rule. The time of some may be over."""
        self._held: tuple[Known, ...] = ()
        self.on_paused: Callable[[], None] = lambda: None
        """Called after more was paused."""
        self.on_resumed: Callable[[], None] = lambda: None
        """Called after a pause has ended: its jobs may be claimed again."""

    def hear(self, pauses: Sequence[PauseInForce] | None) -> None:
        """A look found these. None: it could not tell."""
        if pauses is None or not (pauses or self.known):
            return
        now = self._clock()
        known = tuple(Known(one.paused(), inf if one.seconds is None else now + one.seconds) for one in pauses)
        with self._changing:
            before, self.known = {one.paused for one in self.known}, self._held + known
            after = {one.paused for one in self.known}
        if after - before:
            self.on_paused()
        if before - after:
            self.on_resumed()

    def hold_all(self) -> None:
        """From now on this process begins no job, whatever is paused for the fleet."""
        with self._changing:
            self._held = (Known(Paused(None, None), inf),)
            self.known = self._held + self.known
        self.on_paused()

    def now(self) -> tuple[Paused, ...]:
        """What is paused. A pause whose time is over ends here, without anybody's help."""
        if not self.known:
            return ()
        now = self._clock()
        with self._changing:
            before, self.known = self.known, tuple(one for one in self.known if one.ends_at > now)
            known = self.known
        if len(known) < len(before):
            self.on_resumed()
        return tuple(one.paused for one in known)

    def cover(self, job: Claimed) -> bool:
        """Whether this job must not begin now."""
        known = self.known
        return bool(known) and any(one.paused.covers(job.queue, job.type) and self._clock() < one.ends_at for one in known)

    def sooner(self, seconds: float | None) -> float | None:
        """The lesser of these seconds and those until the first pause ends. None: neither is known."""
        known = self.known
        ends_at = min((one.ends_at for one in known), default=inf)
        if ends_at == inf:
            return seconds
        left = max(0.0, ends_at - self._clock())
        return left if seconds is None else min(left, seconds)


class Known(NamedTuple):
    paused: Paused
    ends_at: float
    """By the clock of this process. Infinity: when somebody resumes."""
