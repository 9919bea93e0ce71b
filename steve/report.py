"""What `stop()` returns."""

from __future__ import annotations

from dataclasses import dataclass

from steve.job import Job


@dataclass(frozen=True, slots=True)
class StopReport:
    """What `stop()` found when it returned."""

    complete: bool
    """Everything that was begun is finished, committed and told."""
    still_running: tuple[Job, ...] = ()
    """Jobs whose handlers had not returned in time."""
    returned: int = 0
    """Jobs that were claimed but not begun, and given back."""
    unsettled: int = 0
    """Outcomes that are not in the database yet."""
    untold: int = 0
    """Events that listeners have not been told of yet."""
    seconds: float = 0.0
