"""Compares the number of workers with Django's pool of connections."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings

DEFAULT_POOL = 4
"""How many connections a psycopg_pool.ConnectionPool has at most if nobody says it."""


def count(workers: object) -> int:
    """How many threads `workers` are, as `JobManager.start` takes them. 0 for what it does not take: it says why."""
    try:
        if isinstance(workers, str):
            return sum(int(pool.rpartition(":")[2]) for pool in workers.split(";") if pool.strip())
        return sum(workers.values()) if isinstance(workers, Mapping) else int(workers)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return 0


def pool_size(alias: str) -> int | None:
    """How many connections Django opens to this database at most. None: it has no pool."""
    options = settings.DATABASES.get(alias, {}).get("OPTIONS", {})
    pool: Any = options.get("pool")
    if not pool:
        return None
    given = pool if isinstance(pool, Mapping) else {}
    size = given.get("max_size") or given.get("min_size", DEFAULT_POOL)
    return int(size)


def too_small(alias: str, workers: object) -> str | None:
    """What is wrong with the pool, if it has fewer connections than there are threads that use them."""
    size, threads = pool_size(alias), count(workers) + 1  # the thread that calls the listeners may use one, too
    if size is None or size >= threads:
        return None
    return (
        f'DATABASES[{alias!r}]["OPTIONS"]["pool"] has {size} connections, and {threads - 1} workers and the thread of the '
        f"listeners may use {threads}: the others wait for one, for 30 seconds by default, and then fail"
    )


def warn_if_small(alias: str, workers: object) -> None:
    if problem := too_small(alias, workers):
        logging.getLogger("steve").warning("%s", problem)
