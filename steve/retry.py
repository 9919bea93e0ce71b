"""RetryPolicy: whether and when a job is tried again. Pure: the random number is an argument, and no clock is read.

Users give a policy to the manager or to `create`. Its numbers are stored with each job, and `judge` in _model/outcome.py
rebuilds the policy from them.
"""

from __future__ import annotations

from dataclasses import dataclass

from steve.errors import shown

MAX_ATTEMPTS = 10_000
"""The largest `max_attempts` that is allowed."""
STRATEGIES = ("none", "exp")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a job is tried and how long it waits in between.

    A job whose attempt raised is tried again until `max_attempts` attempts were made. Crashes of the process do not count.
    `backoff_strategy`: "none" retries at once; "exp" waits base^failures seconds, at most `max_delay`; `jitter` varies it.
    """

    max_attempts: int = 3
    """1 to 10,000."""
    backoff_strategy: str = "exp"
    base: float = 2.0
    """1 to 1000."""
    max_delay: float = 3600.0
    """Seconds, 0 to 31,536,000 (a year)."""
    jitter: float = 0.0
    """0 to 1: the delay is multiplied by a number between 1 - jitter and 1 + jitter."""

    def __post_init__(self) -> None:
        if type(self.max_attempts) is not int:
            raise TypeError(f"RetryPolicy max_attempts must be an int, not {type(self.max_attempts).__name__}")
        if not 1 <= self.max_attempts <= MAX_ATTEMPTS:
            raise ValueError(f"RetryPolicy max_attempts must be between 1 and {MAX_ATTEMPTS}, not {shown(self.max_attempts)}")
        if self.backoff_strategy not in STRATEGIES:
            raise ValueError(f'RetryPolicy backoff_strategy must be "none" or "exp", not {shown(self.backoff_strategy)}')
        for name, low, high in (("base", 1, 1000), ("max_delay", 0, 31_536_000), ("jitter", 0, 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"RetryPolicy {name} must be a number, not {type(value).__name__}")
            if not low <= value <= high:
                raise ValueError(f"RetryPolicy {name} must be between {low} and {high}, not {shown(value)}")

    def delay(self, failures: int, chance: float = 0.5) -> float:
        """How many seconds to wait before the next attempt.

        `failures`: how many attempts have failed, 1 or more. `chance`: a random number from 0 to 1, which places the delay
        within the jitter.
        """
        if self.backoff_strategy == "none":
            return 0.0
        try:
            delay = min(float(self.base) ** failures, self.max_delay)
        except OverflowError:  # 2.0 ** 1024; max_attempts may be 10,000
            delay = self.max_delay
        return delay * (1 - self.jitter + 2 * self.jitter * chance)
