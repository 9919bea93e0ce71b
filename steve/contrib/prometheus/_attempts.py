"""What each process says of its own attempts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from steve import JobManager, Run
from steve.contrib._ending import Ending, ending_of
from steve.contrib.prometheus._series import MOST_SERIES, FirstSeries

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds. A job may take longer than a request, for which prometheus_client's own buckets are."""

ENDINGS: tuple[Ending, ...] = ("success", "error", "cancelled", "snoozed", "lost")


def instrument(manager: JobManager, registry: CollectorRegistry = REGISTRY) -> Callable[[], None]:
    """Count the attempts of this manager, and measure how long they take: `steve_attempts_total{queue,type,outcome}` and
    `steve_attempt_duration_seconds{queue,type}`.

    `registry`: where the metrics are. Managers that are given the same one share them. In prometheus_client's multiprocess
    mode the registry that is scraped is another one, as for all metrics. Returns a function that ends it.
    """
    return manager.around(_attempts_of(registry).around)


class _Attempts:
    def __init__(self, registry: CollectorRegistry) -> None:
        attempts = Counter(
            "steve_attempts", "Attempts that ended in this process.", ["queue", "type", "outcome"], registry=registry
        )
        durations = Histogram(
            "steve_attempt_duration_seconds",
            "How long the attempts took.",
            ["queue", "type"],
            registry=registry,
            buckets=BUCKETS,
        )
        self._attempts = FirstSeries(attempts.labels, MOST_SERIES - len(ENDINGS))
        self._durations = FirstSeries(durations.labels, MOST_SERIES - 1)

    @contextmanager
    def around(self, run: Run) -> Iterator[None]:
        job = run.job
        begun = time.perf_counter()
        ending: Ending = "success"
        try:
            yield
        except BaseException as error:
            ending = ending_of(run, error)
            raise
        finally:
            self._durations.of(job.queue, job.type).observe(time.perf_counter() - begun)
            self._attempts.of(job.queue, job.type, ending).inc()


_lock = Lock()
"""Protects `_known`. Under it metrics are registered, which waits for the registry's own lock only."""
_known: WeakKeyDictionary[CollectorRegistry, _Attempts] = WeakKeyDictionary()


def _attempts_of(registry: CollectorRegistry) -> _Attempts:
    with _lock:
        if registry not in _known:
            _known[registry] = _Attempts(registry)
        return _known[registry]
