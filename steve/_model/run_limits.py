"""After how much work `run()` ends by itself."""

from __future__ import annotations

from typing import NamedTuple

from steve.errors import shown


class RunLimits(NamedTuple):
    max_jobs: int | None = None
    """How many jobs begin."""
    max_memory: float | None = None
    """MiB of resident memory."""
    burst: bool = False
    """End when no job is due."""


def check_run_limits(max_jobs: object, max_memory: object, burst: object = False) -> RunLimits:
    """Raises TypeError and ValueError."""
    if max_jobs is not None:
        if type(max_jobs) is not int:  # not isinstance: True is an int
            raise TypeError(f"max_jobs must be an int or None, not {type(max_jobs).__name__}")
        if max_jobs < 1:
            raise ValueError(f"max_jobs must be 1 or more, not {shown(max_jobs)}")
    if max_memory is not None:
        if isinstance(max_memory, bool) or not isinstance(max_memory, int | float):
            raise TypeError(f"max_memory must be a number of MiB or None, not {type(max_memory).__name__}")
        if not 0 < max_memory < float("inf"):
            raise ValueError(f"max_memory must be more than 0 MiB, not {shown(max_memory)}")
    if not isinstance(burst, bool):
        raise TypeError(f"burst must be True or False, not {type(burst).__name__}")
    return RunLimits(max_jobs, max_memory, burst)
