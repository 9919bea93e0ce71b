"""What calls report: StopReport of `stop()`, Changed of `cancel_all()` and its siblings."""

from __future__ import annotations

from dataclasses import dataclass

from steve.job import Job


@dataclass(frozen=True, slots=True)
class StopReport:
    """The state of the manager when `stop()` returned."""

    complete: bool
    """True: all runs have ended, their outcomes are committed, and the listeners have been told of them."""
    still_running: tuple[Job, ...] = ()
    """Jobs whose handlers did not return in time."""
    returned: int = 0
    """How many jobs were claimed, not begun, and given back."""
    unsettled: int = 0
    """How many outcomes are not in the database yet."""
    untold: int = 0
    """How many events the listeners have not been told of yet."""
    seconds: float = 0.0
    """How long `stop()` took."""
    limit: str | None = None
    """The limit that ended `run()`: "max_jobs" or "max_memory"."""

    @property
    def exit_code(self) -> int:
        """For `sys.exit()`: 75 (EX_TEMPFAIL) if a limit ended `run()`, so that a supervisor begins the program anew; else 0 if
        all is complete, and 1 if not."""
        return 75 if self.limit is not None else 0 if self.complete else 1


@dataclass(frozen=True, slots=True)
class Changed:
    """What `cancel_all`, `retry_all` or `delete_all` did."""

    done: int
    """How many jobs were changed; with `dry_run`, how many would be."""
    skipped: int
    """How many jobs match and were not changed: another transaction had them locked all the time or, in `retry_all`, another
    job has their unique key."""
