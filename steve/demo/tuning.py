"""The numbers of the demo, in one value that `run` passes on. Tests pass smaller numbers."""

from dataclasses import dataclass

from steve import RetryPolicy

RETRY = RetryPolicy(max_attempts=3, backoff_strategy="exp", base=1.5, jitter=0.3)
"""Short waits (about 1.5 and 2.3 s), so that jobs fail while you watch. In your program the waits may well be longer."""


@dataclass(frozen=True)
class Tuning:
    """The sizes, times and retries of the demo."""

    retry: RetryPolicy = RETRY
    closed_seconds: float = 0.15
    """How long the catalog is closed. Every wait before a retry is longer (at least 1.05 s), so one retry is enough."""
    jobs_at_once: int = 500
    """How many jobs are created in one call: few enough that the first run while the rest are being created."""
    page: int = 1000
    """How many jobs the summary reads in one call."""
    line_seconds: float = 1.0
    """Seconds between two lines of progress if the output is no terminal."""


DEFAULTS = Tuning()
