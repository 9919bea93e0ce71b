"""Ends what steve has open in a test database before Django drops it."""

from __future__ import annotations

import functools
from typing import Any

from django.db import connections

from steve.contrib.django._managers import managers_of

STOP_SECONDS = 10.0
"""How long a manager that a test has left running may take to stop."""


def watch(alias: str) -> None:
    """From now on, have the managers of this database close their connections before Django makes a test database of it, copies
    that, or drops it: PostgreSQL refuses the last two while anybody is connected. Django has no signal for that moment, so this
    wraps the methods of this thread's connection, the one whose methods the test runners call."""
    creation: Any = connections[alias].creation
    for name in ("create_test_db", "clone_test_db", "destroy_test_db"):
        setattr(creation, name, _ending_first(alias, getattr(creation, name)))


def _ending_first(alias: str, method: Any) -> Any:
    @functools.wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        for manager in managers_of(alias):
            manager.stop(STOP_SECONDS)
        return method(*args, **options)

    return call
