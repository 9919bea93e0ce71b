"""Does around each job, and around each call of a listener, what Django does around a request.

Django's signals `request_started` and `request_finished` are not sent: what listens to them expects a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.db import close_old_connections, connections, reset_queries

from steve import JobManager

_caches: ContextVar[tuple[BaseCache, ...] | None] = ContextVar("steve_caches_of_thread", default=None)
"""The caches of a thread of a manager. None: the thread is not one of these, but that of a test which runs jobs itself, for
example. Its connections belong to the caller, who may be in the middle of a transaction."""


def install(manager: JobManager) -> None:
    manager.around_thread(_around_thread)
    manager.around(_around_call)
    manager.around_listener(_around_call)


@contextmanager
def _around_thread() -> Iterator[None]:
    _caches.set(tuple(_made()))
    try:
        yield
    finally:
        connections.close_all()  # nobody else can close them, and a test database with connections cannot be dropped


def _made() -> Iterator[BaseCache]:
    """All caches, which are connected later. Django keeps them in the context. If they were made within a job, they would go
    with it, and the next job would have to connect anew."""
    for alias in caches:
        with suppress(Exception):  # a handler that uses this cache gets the error
            yield caches[alias]


class _AroundCall:
    """Around each job, so it is quick: it keeps nothing, and one object does for all calls. A generator would take longer, and
    Django's `close_caches` looks for the caches under one lock, for which all threads would wait."""

    __slots__ = ()

    def __enter__(self) -> None:
        if _caches.get() is not None:
            if settings.DEBUG:  # otherwise Django keeps no queries
                reset_queries()
            close_old_connections()

    def __exit__(self, *error: object) -> None:
        ours = _caches.get()
        if ours is not None:
            close_old_connections()
            for cache in ours:
                cache.close()


_AROUND_CALL = _AroundCall()


def _around_call(_: object) -> _AroundCall:
    return _AROUND_CALL
