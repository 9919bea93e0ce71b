"""Decides when the waits' thread may look again, so that a thousand waits cost as many statements as one. Pure."""

from __future__ import annotations

from steve._model.tuning import Tuning

FREE_LOOKS = 2
"""A wait that begins when nobody waits is allowed these at once: one to see how the job is, and one when it ends. So somebody
who creates jobs and waits for each before the next is never held up."""


class Pace:
    def __init__(self, tuning: Tuning) -> None:
        self._rate = tuning.wait_looks
        self._share = tuning.wait_share
        self._credit = float(FREE_LOOKS)
        self._counted_at = 0.0
        self._not_before = 0.0

    def begin(self) -> None:
        """Somebody waits, and nobody did before."""
        self._credit = max(self._credit, float(FREE_LOOKS))
        self._not_before = 0.0

    def seconds_to_next(self, now: float) -> float:
        """How long no look may be made."""
        self._count(now)
        for_credit = (1.0 - self._credit) / self._rate if self._credit < 1.0 else 0.0
        return max(for_credit, self._not_before - now, 0.0)

    def looked(self, began: float, now: float) -> None:
        """A look was made."""
        self._count(began)
        self._credit -= 1.0
        # A short look takes less than its turn anyway.
        self._not_before = now + (now - began) * (1.0 / self._share - 1.0)

    def _count(self, now: float) -> None:
        self._credit = min(self._credit + max(now - self._counted_at, 0.0) * self._rate, float(FREE_LOOKS))
        self._counted_at = max(now, self._counted_at)
