"""Does around each job, and around each call of a listener, what Django does around a request.

Django's signals `request_started` and `request_finished` are not sent: what listens to them expects a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.core.cache import close_caches
from django.db import close_old_connections, connections, reset_queries

from steve import JobManager

_is_ours: ContextVar[bool] = ContextVar("steve_thread_of_django", default=False)
"""Whether this is a thread of a manager. On any other thread, such as that of a test which runs jobs itself, the connections
belong to the caller, who may be in the middle of a transaction."""


def install(manager: JobManager) -> None:
    manager.around_thread(_around_thread)
    manager.around(_around_call)
    manager.around_listener(_around_call)


@contextmanager
def _around_thread() -> Iterator[None]:
    _is_ours.set(True)
    try:
        yield
    finally:
        connections.close_all()  # nobody else can close them, and a test database with connections cannot be dropped


@contextmanager
def _around_call(_: object) -> Iterator[None]:
    if not _is_ours.get():
        yield
        return
    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
        close_caches()
