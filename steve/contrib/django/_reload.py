"""`manage.py steve worker --reload`.

Django's reloader calls this on a thread that is not the main one, so `run()`, which needs signals, does not work here. When a
file changes or a signal comes, the main thread leaves, and steve stops at the interpreter's exit. That would wait for the
handlers for as long as they take; this thread bounds it.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from django.utils.autoreload import file_changed

from steve.contrib.django import manager

AGAIN = 3
"""With this code Django's reloader begins the program anew."""


def work_until_reload(workers: Any, stop_timeout: float | None) -> None:
    """Run jobs until the process ends."""
    change = _Change()
    file_changed.connect(change)
    manager.start(workers, migrate=False)
    while manager.health().running:
        time.sleep(0.1)
    if stop_timeout is not None:
        time.sleep(stop_timeout)  # a daemon: the process may end meanwhile
        sys.stderr.write(f"steve: handlers have not returned within {stop_timeout:g} s: other processes run their jobs again\n")
        sys.stderr.flush()
        os._exit(AGAIN if change.is_new(stop_timeout) else 0)


class _Change:
    """A receiver of Django's signal: remembers when a file last changed."""

    def __init__(self) -> None:
        self._at = float("-inf")

    def __call__(self, **signal: object) -> None:
        self._at = time.monotonic()

    def is_new(self, seconds: float) -> bool:
        return time.monotonic() - self._at < seconds + 1.0
