"""Every knob of a manager with its default, unit and meaning, checked at once; and the engine's own numbers.

`JobManager` makes one from its keywords. Nothing here is global: two managers in one process share none of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import shown
from .retry import RetryPolicy

# The hand (_claim.py)
HAND_MOST = 500
"""Jobs claimed at a time, at most: the cost of a claim levels off there."""
HAND_BYTES = 8 << 20
"""Payload bytes claimed at a time, at most, at the mean size seen."""
HAND_SECONDS = 0.05
"""As many jobs are claimed ahead as all workers begin in this time, at the pace of each type."""
HAND_AGE = 1.0
"""Seconds after which a claimed job that nobody has begun is given back."""

LATE_SECONDS, LATE_MOST = 0.0002, 0.002
"""How long a process waits before it looks that came too late the last time, for each time in a row; and at most."""
ANSWERED_MOST = 1_000
"""Claims whose time is kept, to tell them from one whose reply was lost."""
FULL_SCAN_EVERY = 20
"""A claim looks at the beginning of every lane again when so many times the duration of the last such look has passed."""
SLOW_SCAN = 0.02
"""Seconds that such a look takes at most in a healthy table. Beyond, the maintenance thread makes it, beside the claims."""
SCAN_CHECK = 0.25
"""Seconds between its looks at whether one is due."""
WARN_SCAN = 0.1
"""Beyond this a warning says who keeps the table from being cleaned up."""
OVERDUE = 5.0
"""If that thread does not come to it for so many seconds, a claim makes it after all."""
LANES_MOST = 1_000
"""Lanes whose marks are kept."""
WORTH_SECONDS = 0.005
"""A further worker begins to draw for every so much work that the jobs at hand are expected to take."""
TICK_SECONDS = 0.002
"""How often the watch looks whether those who draw still do."""

# The pile (_settle.py)
GROUP_MOST = 500
"""Verdicts settled in one statement, at most."""
GROUP_BYTES = 8 << 20
PILE_MOST = 2_000
"""Verdicts waiting, above which workers begin nothing more until half of them are settled."""
PILE_BYTES = 32 << 20
SETTLE_SECONDS = 30.0
"""How long a stopping manager goes on trying to write down what was done while the database is away."""

# Listeners (listeners.py)
EVENTS_MOST = 10_000
"""Events waiting to be told, above which nothing is claimed."""

# Turns (_worker.py)
WORKERS_MOST = 1_000
TURN_SECONDS = 0.05
"""A turn begins no further job after this time: at its end a chain learns that the interpreter is exiting."""
IDLE_SECONDS = 0.5
"""The longest wait of an idle turn, for the same reason."""

# Connections (_pool.py)
ANSWER_SECONDS = 30.0
"""A statement that has no answer for so long is on a dead connection (_watchdog.py)."""
CREATE_PACE = 1_000
"""Jobs a second that `create_many` stores in the worst of cases: so much longer may it take."""
BACKOFF_FIRST, BACKOFF_MOST = 0.1, 2.0
"""Seconds between a loop's tries to reach the database: the first, and where doubling ends; half more or less by chance."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The keywords of `JobManager` that are neither a connection nor a handler."""

    schema: str = "steve"
    """The PostgreSQL schema of the tables: 1 to 63 bytes of UTF-8, not beginning with pg_."""
    queues: tuple[str, ...] | None = None
    """The queues to work on; None: all."""
    poll_interval: float = 1.0
    """Seconds between looks at the database when no notification comes, 0.05 to 3600."""
    retry: RetryPolicy = RetryPolicy()  # noqa: RUF009 - frozen
    """For jobs created without `max_attempts` and `backoff_strategy` of their own."""
    notify: bool = True
    """Wake waiting processes with NOTIFY when a job is created, and listen for it."""
    create_timeout: float = 10.0
    """Seconds, 0.05 to 3600, for which a call tries again to reach the database; `start` gives up no later."""

    @classmethod
    def checked(
        cls, schema: object, queues: object, poll_interval: object, retry: object, notify: object, create_timeout: object
    ) -> Settings:
        """Raises TypeError or ValueError for the first that is wrong."""
        if not isinstance(schema, str):
            raise TypeError(f"schema must be a str, not {type(schema).__name__}")
        check_schema(schema)
        if queues is not None:
            if isinstance(queues, str) or not isinstance(queues, Iterable):
                raise TypeError(f'queues must be a list of names such as ["default"] or None, not {type(queues).__name__}')
            queues = tuple(queues)
            if not queues:
                raise ValueError("queues is empty: name at least one, or pass None for all")
            for queue in queues:
                if flaw := name_flaw(queue):
                    raise (ValueError if isinstance(queue, str) else TypeError)(f"queues: a queue's name {flaw}")
        poll_interval = _checked_seconds("poll_interval", poll_interval)
        create_timeout = _checked_seconds("create_timeout", create_timeout)
        if not isinstance(retry, RetryPolicy):
            raise TypeError(f"retry must be a RetryPolicy, not {type(retry).__name__}")
        if not isinstance(notify, bool):
            raise TypeError(f"notify must be True or False, not {type(notify).__name__}")
        return cls(schema, queues, poll_interval, retry, notify, create_timeout)


def _checked_seconds(keyword: str, seconds: object) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{keyword} must be a number of seconds, not {type(seconds).__name__}")
    if not 0.05 <= seconds <= 3600:
        raise ValueError(f"{keyword} must be between 0.05 and 3600 seconds, not {shown(seconds)}")
    return float(seconds)


def check_workers(workers: object) -> None:
    """Raises TypeError or ValueError for what is no number of workers."""
    if type(workers) is not int:  # not isinstance: True is none
        raise TypeError(f"workers must be an int, not {type(workers).__name__}")
    if not 1 <= workers <= WORKERS_MOST:
        raise ValueError(f"workers must be between 1 and {WORKERS_MOST}, not {shown(workers)}")


def check_schema(schema: str) -> None:
    """Raises ValueError for what cannot be the name of a PostgreSQL schema."""
    if "\x00" in schema or any("\ud800" <= c <= "\udfff" for c in schema):
        raise ValueError("schema contains a NUL character or a lone surrogate")
    if not 1 <= len(schema.encode()) <= 63:
        raise ValueError(f"schema must be 1 to 63 bytes of UTF-8, not {len(schema.encode())}: PostgreSQL would cut it off")
    if schema.startswith("pg_"):
        raise ValueError(f'schema must not begin with "pg_", which PostgreSQL keeps for itself: {schema!r}')


def name_flaw(name: object) -> str | None:
    """What is wrong with the name of a type or a queue, as the end of a sentence; None: nothing."""
    if not isinstance(name, str):
        return f"must be a str, not {type(name).__name__}"
    if not 1 <= len(name) <= 255:
        return f"must have 1 to 255 characters, not {len(name)}"
    if not name.isprintable() and any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in name):
        return f"must not contain control characters or lone surrogates: {shown(name)}"
    if name.strip() != name:
        return f"must not begin or end with a blank: {shown(name)}"
    return None
