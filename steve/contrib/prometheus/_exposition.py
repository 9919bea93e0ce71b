"""What a scrape gets."""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from steve.contrib.prometheus._database import DatabaseCollector


def exposition(database: DatabaseCollector | None = None, registry: CollectorRegistry = REGISTRY) -> bytes:
    """The metrics as text: those of this process; in prometheus_client's multiprocess mode those of all processes that share
    the folder.

    `database`: figures of the database to add, if they are not in the registry. `registry`: of this process.
    """
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest(registry) + _of(database)
    scraped = CollectorRegistry()
    MultiProcessCollector(scraped)  # type: ignore[no-untyped-call]
    return generate_latest(scraped) + _of(database)


def _of(database: DatabaseCollector | None) -> bytes:
    if database is None:
        return b""
    alone = CollectorRegistry()
    alone.register(database)
    return generate_latest(alone)
