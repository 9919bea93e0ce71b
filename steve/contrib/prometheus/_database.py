"""What the database says of all jobs and processes, asked when somebody scrapes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from steve import JobManager, Process, Stats, SteveError
from steve.contrib.prometheus._series import MOST_SERIES, KeptSeries, Labels

logger = logging.getLogger("steve")

OPEN = ("pending", "running")


class DatabaseCollector(Collector):
    """The figures of the whole database: register it in one process, for they are the same in all.

    - `steve_jobs{queue,type,status}`: the pending and running jobs;
    - `steve_jobs_ended{queue,type,status}`: the jobs that completed, failed or were cancelled within the last hour;
    - `steve_oldest_due_seconds{queue,type}`: for how long the job that has waited for longest has been due;
    - `steve_workers` and `steve_processes`: the worker threads and the started managers that are alive;
    - `steve_up`: 1; 0 if the database did not answer, and then this is the only one.

    `cache`: for how many seconds an answer, or the lack of one, is good, 0 to 3600. `most_series`: how many series a metric
    may have, 10 to 10,000; what is beyond is added up as queue `other`, type `other`. The manager need not be started. A scrape
    waits for the database for as long as the manager's `create_timeout`. Raises TypeError and ValueError.
    """

    def __init__(self, manager: JobManager, *, cache: float = 10.0, most_series: int = MOST_SERIES) -> None:
        if isinstance(cache, bool) or not isinstance(cache, int | float):
            raise TypeError(f"cache must be a number, not {type(cache).__name__}")
        if not 0 <= cache <= 3600:
            raise ValueError(f"cache must be 0 to 3600 seconds, not {cache}")
        if type(most_series) is not int:
            raise TypeError(f"most_series must be an int, not {type(most_series).__name__}")
        if not 10 <= most_series <= 10_000:
            raise ValueError(f"most_series must be 10 to 10,000, not {most_series}")
        self._manager = manager
        self._cache = cache
        self._jobs = KeptSeries(most_series)
        self._ended = KeptSeries(most_series)
        self._oldest = KeptSeries(most_series, max)
        self._lock = threading.Lock()
        """Protects the answer, and is held while the database is asked: scrapes at the same time ask once."""
        self._answer: list[GaugeMetricFamily] = []
        self._asked_at: float | None = None

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The names, for the registry. It asks nobody, so registering needs no database."""
        return [GaugeMetricFamily(name, text, labels=labels) for name, text, labels in _METRICS.values()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        with self._lock:
            if self._asked_at is None or time.monotonic() - self._asked_at >= self._cache:
                self._answer = self._ask()
                self._asked_at = time.monotonic()
            return self._answer

    def _ask(self) -> list[GaugeMetricFamily]:
        try:
            stats, processes = self._manager.stats(), self._manager.processes()
        except SteveError as error:
            logger.warning("no figures for Prometheus: %s", error)
            return [_family("up", {(): 0.0})]
        return [_family("up", {(): 1.0}), *self._families(stats, processes)]

    def _families(self, stats: Stats, processes: Sequence[Process]) -> Iterable[GaugeMetricFamily]:
        jobs: dict[Labels, float] = {labels: float(count) for labels, count in stats.counts.items() if labels[2] in OPEN}
        ended: dict[Labels, float] = {labels: float(count) for labels, count in stats.counts.items() if labels[2] not in OPEN}
        oldest: dict[Labels, float] = {
            (str(lane.queue), str(lane.type)): lane.latency for lane in stats.lanes if lane.oldest_due is not None
        }
        alive = [process for process in processes if process.alive]
        yield _family("jobs", self._jobs.choose(jobs))
        yield _family("jobs_ended", self._ended.choose(ended))
        yield _family("oldest_due_seconds", self._oldest.choose(oldest))
        yield _family("workers", {(): float(sum(process.workers for process in alive))})
        yield _family("processes", {(): float(len(alive))})


_METRICS = {
    "up": ("steve_up", "1: the database answered; 0: it did not.", []),
    "jobs": ("steve_jobs", "Pending and running jobs.", ["queue", "type", "status"]),
    "jobs_ended": ("steve_jobs_ended", "Jobs that ended within the last hour.", ["queue", "type", "status"]),
    "oldest_due_seconds": ("steve_oldest_due_seconds", "How long the oldest due job has waited.", ["queue", "type"]),
    "workers": ("steve_workers", "Worker threads of the processes that are alive.", []),
    "processes": ("steve_processes", "Started managers that are alive.", []),
}


def _family(key: str, values: Mapping[Labels, float]) -> GaugeMetricFamily:
    name, text, labels = _METRICS[key]
    family = GaugeMetricFamily(name, text, labels=labels)
    for one, value in values.items():
        family.add_metric(one, value)
    return family
