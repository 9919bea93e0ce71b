"""How a process that works stops itself when it is told to."""

from __future__ import annotations

import os
import signal
import time

from steve import JobManager

STARTED_SECONDS = 60.0
"""How long its manager may take to start."""


def stop(manager: JobManager) -> None:
    """Send SIGTERM to this process. Before its manager has started, nothing would handle the signal, and the process would end
    without a word."""
    deadline = time.monotonic() + STARTED_SECONDS
    while not manager.health().running and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)
