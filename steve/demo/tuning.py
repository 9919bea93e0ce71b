"""The numbers of the demo, in one value that `run` passes on: a test passes smaller ones."""

from dataclasses import dataclass

from steve import RetryPolicy

RETRY = RetryPolicy(max_attempts=3, backoff_strategy="exp", base=1.5, jitter=0.3)
"""Short waits (about 1.5 and 2.3 s), so that jobs fail while you watch. Your own jobs may well wait longer."""


@dataclass(frozen=True)
class Tuning:
    """How much at a time, how long, how often."""

    retry: RetryPolicy = RETRY
    closed_seconds: float = 0.15
    """How long the catalog is closed. The shortest wait before a retry is longer (1.05 s), so that one retry is enough."""
    jobs_at_once: int = 500
    """Jobs created in one call: few enough that the first are worked on while the rest are being created."""
    page: int = 1000
    """Jobs that the summary reads in one call."""
    line_seconds: float = 1.0
    """Seconds between two lines of progress where there is no terminal."""


DEFAULTS = Tuning()
