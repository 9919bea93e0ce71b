"""Prometheus: figures of the whole database from one exporter, and figures of the attempts from each process that runs jobs.

    from steve.contrib.prometheus import DatabaseCollector, instrument

    instrument(manager)                               # in each process that runs jobs
    REGISTRY.register(DatabaseCollector(manager))     # in one process

_attempts.py counts and times the attempts, with plain metrics of prometheus_client, so that its multiprocess mode works.
_database.py asks the database when somebody scrapes. _series.py keeps the number of series small, and _exposition.py makes the
text that a scrape gets.
"""

from steve.contrib.prometheus._attempts import instrument
from steve.contrib.prometheus._database import DatabaseCollector
from steve.contrib.prometheus._exposition import exposition

__all__ = ["DatabaseCollector", "exposition", "instrument"]
