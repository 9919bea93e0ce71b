"""How many series a metric may have: each is a row in Prometheus for as long as it keeps data, and lanes come from data."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

MOST_SERIES = 200
"""Of one metric."""

OTHER = "other"
"""The queue and the type of what has no series of its own, as in `stats()`."""

Labels = tuple[str, ...]
"""The queue, the type, and what else a metric has."""

T = TypeVar("T")


def other_of(labels: Labels) -> Labels:
    return (OTHER, OTHER, *labels[2:])


class KeptSeries:
    """Which series of a gauge are shown singly. A series that has been shown stays while it has a value, so that no graph
    jumps when lanes overtake each other. The others are added up as `other`."""

    def __init__(self, most: int, merge: Callable[[float, float], float] = float.__add__) -> None:
        self._most = most
        self._merge = merge
        self._kept: frozenset[Labels] = frozenset()

    def choose(self, values: Mapping[Labels, float]) -> dict[Labels, float]:
        """At most `most` of them. The values are 0 or greater; of new series the greatest get a place."""
        if len(values) <= self._most:
            self._kept = frozenset(values)
            return dict(values)
        places = self._most - len({other_of(labels) for labels in values})
        stay = [labels for labels in values if labels in self._kept]
        new = sorted((labels for labels in values if labels not in self._kept), key=lambda one: (-values[one], one))
        self._kept = frozenset([*stay, *new][: max(places, 0)])
        chosen = {labels: value for labels, value in values.items() if labels in self._kept}
        for labels, value in values.items():
            if labels not in self._kept:
                other = other_of(labels)
                chosen[other] = self._merge(chosen[other], value) if other in chosen else value
        return chosen


class FirstSeries(Generic[T]):
    """The series of a counter or a histogram of this process: one for each of the first labels, and then `other`. Such a series
    never ends, so the first ones keep their places."""

    def __init__(self, make: Callable[..., T], most: int) -> None:
        """`make(*labels)` makes a series. `most`: not counting those of `other`."""
        self._make = make
        self._most = most
        self._made: dict[Labels, T] = {}  # read without the lock: a key is only added, together with its value
        self._lock = threading.Lock()
        """Protects what is added to `_made`. Under it a series is made, which waits for nothing but prometheus_client's own
        lock."""
        self._single = 0

    def of(self, *labels: str) -> T:
        made = self._made.get(labels)
        return self._add(labels) if made is None else made

    def _add(self, labels: Labels) -> T:
        with self._lock:
            if labels not in self._made and self._single < self._most:
                self._single += 1
                self._made[labels] = self._make(*labels)
            elif labels not in self._made:
                labels = other_of(labels)
                if labels not in self._made:
                    self._made[labels] = self._make(*labels)
            return self._made[labels]
