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

LATE_SECONDS, LATE_MOST = 0.0004, 0.004
"""How long a process that was woken in vain waits before it hears again, for each time in a row, and at most; of both by chance
half to all."""
ANSWERED_MOST = 1_000
"""Claims whose time is kept, to tell them from one whose reply was lost."""
SECOND_LOOK = 60.0
"""Seconds after which what a lost claim took is asked for once more: it may have been committed after the first time."""
LOST_CHECK = 1.0
"""Seconds between the looks of another thread, while all workers are busy, at whether such a question is due."""
POLL_MOST = 3600.0
"""Seconds between polls, at most: of a job due later than that nobody is notified, a poll comes first (insert_job.sql)."""
LANE_LEAST = 16
"""A claim looks for at least so many in each lane: a lane that brings fewer than this and all other limits is empty."""
FULL_SCAN_EVERY = 20
"""A claim looks at the beginning of every lane again when so many times the duration of the last such look has passed."""
SLOW_SCAN = 0.02
"""Seconds that such a look takes at most in a healthy table. Beyond, the scanner makes it, beside the claims."""
SCAN_CHECK = 0.25
"""Seconds between its looks at whether one is due."""
WARN_SCAN = 0.1
"""Beyond this a warning says who keeps the table from being cleaned up."""
OVERDUE = 5.0
"""If that thread does not come to it for so many seconds, a claim makes it after all."""
LANES_MOST = 1_000
"""Lanes whose marks are kept."""
PACES_MOST = 1_000
"""Types whose pace is kept: a fallback handler serves any."""
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
HOPELESS = 3
"""How many verdicts in a row are found to be untakeable one by one before the others of a group are set aside with them."""
SETTLE_SECONDS = 30.0
"""How long a stopping manager goes on trying to write down what was done while the database is away."""
PARTING_SECONDS = 1.0
"""How long it goes on trying to find what a claim took whose reply was lost, and waits for a statement that has no answer,
where no outcome is to be written down: others find by the tables what it held."""

# Threads (_threads.py) and health (_health.py)
RESTART_PAUSE, RESTART_PAUSE_MOST = 0.1, 5.0
"""Seconds until a loop that broke off begins again: the first time, and where doubling ends."""
REPLACE_SECONDS = 0.5
"""Seconds between the looks for dead workers."""
LOG_SECONDS = 0.5
"""How long a stop waits for a line of its own log: it may be a pipe that nobody reads."""
WATCH_SECONDS = 1.0
"""Seconds between the looks at the own health, for those who asked to be told."""
HINT_PAUSE = 10.0
"""Seconds without notifications after one that PostgreSQL did not take (_hints.py)."""
UNHEALTHY_SECONDS = 10.0
"""How long a loop may be without the database, or an outcome unwritten, before the manager calls itself unhealthy."""
PROOF_SECONDS = 60.0
"""Seconds of silence after which the listener asks whether anybody is there (_notifier.py)."""

# Alive or not (_heartbeat.py, _rescue.py)
LOOK_SECONDS = 2.0
"""Seconds between the looks of each process at the others, a quarter more or less by chance."""
SUSPICION = 3.0
"""Seconds between the suspicion that a process is dead and its rescue: time for a lost connection to be made anew."""
SETTLED_IN = 5.0
"""Seconds that a process's own heartbeat connection must be old before it suspects others."""
BURIED_AFTER = 10
"""Leases of silence after which a process without a session of its own, behind a pooler, counts as dead."""
LET_IN = 15.0
"""Seconds that the server must be up: after a restart all processes come back, and must be let in first."""
LOOKS, AGAIN_SECONDS = 3, 1.0
"""How often a process must find a job that it holds and does not know of until it frees it (_reconcile.py), and the seconds
between these looks."""
RESCUE_MOST = 500
"""Jobs rescued in one statement, at most."""

# Payloads and results (_json.py)
STORED_MOST = 1 << 28
"""Bytes that a limit may be at most: PostgreSQL's jsonb holds no more."""

# Listeners (listeners.py)
ONCE_MOST = 10_000
"""Of the jobs with an on_done= of their own, how many are looked for at a time that another process may have finished."""
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
"""A statement that has no answer for so long is on a dead connection (_watchdog.py). A loop's may take twice what its last one
took, and twice as long after each cut.
"""
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
    lease: float = 60.0
    """Seconds without a heartbeat after which a process that is still connected loses its jobs to others, up to 86,400."""
    heartbeat: float = 5.0
    """Seconds between heartbeats at most, 0.1 or more; at most a third of the lease."""
    max_crashes: int = 3
    """How many processes may die while they hold a job until it is given up, 1 to 10,000."""
    notify: bool = True
    """Wake waiting processes with NOTIFY when a job is created, and listen for it."""
    max_payload_bytes: int = 1 << 20
    """Of a payload as JSON in UTF-8, 2 to 268,435,456: a larger one is an InvalidJob."""
    max_result_bytes: int = 1 << 20
    """The same of a result: the job of a larger one is failed."""
    create_timeout: float = 10.0
    """Seconds, 0.05 to 3600, for which a call tries again to reach the database; `start` gives up no later."""

    @classmethod
    def checked(
        cls,
        schema: object,
        queues: object,
        poll_interval: object,
        retry: object,
        lease: object,
        heartbeat: object,
        max_crashes: object,
        notify: object,
        max_payload_bytes: object,
        max_result_bytes: object,
        create_timeout: object,
    ) -> Settings:
        """Raises TypeError or ValueError for the first that is wrong."""
        schema = check_schema(schema)
        if queues is not None:
            if isinstance(queues, str) or not isinstance(queues, Iterable):
                raise TypeError(f'queues must be a list of names such as ["default"] or None, not {type(queues).__name__}')
            queues = tuple(queues)
            if not queues:
                raise ValueError("queues is empty: name at least one, or pass None for all")
            for queue in queues:
                if flaw := name_flaw(queue):
                    raise (ValueError if isinstance(queue, str) else TypeError)(f"queues: a queue's name {flaw}")
        poll_interval = _seconds("poll_interval", poll_interval, 0.05, POLL_MOST)
        if not isinstance(retry, RetryPolicy):
            raise TypeError(f"retry must be a RetryPolicy, not {type(retry).__name__}")
        heartbeat = _seconds("heartbeat", heartbeat, 0.1, 28_800)
        lease = _seconds("lease", lease, 0.3, 86_400)
        # One heartbeat may be late, and the next, and nobody is dead. Rounded, for 3 * 0.1 is more than 0.3.
        if lease < round(3 * heartbeat, 6):
            raise ValueError(f"lease must be at least three heartbeats of {heartbeat:g} s, not {shown(lease)}")
        if type(max_crashes) is not int:
            raise TypeError(f"max_crashes must be an int, not {type(max_crashes).__name__}")
        if not 1 <= max_crashes <= 10_000:
            raise ValueError(f"max_crashes must be between 1 and 10000, not {shown(max_crashes)}")
        if not isinstance(notify, bool):
            raise TypeError(f"notify must be True or False, not {type(notify).__name__}")
        return cls(
            schema,
            queues,
            poll_interval,
            retry,
            lease,
            heartbeat,
            max_crashes,
            notify,
            _bytes("max_payload_bytes", max_payload_bytes),
            _bytes("max_result_bytes", max_result_bytes),
            _seconds("create_timeout", create_timeout, 0.05, 3600),
        )


def _seconds(name: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be between {least:g} and {most:g} seconds, not {shown(value)}")
    return float(value)


def check_workers(workers: object) -> None:
    """Raises TypeError or ValueError for what is no number of workers."""
    if type(workers) is not int:  # not isinstance: True is none
        raise TypeError(f"workers must be an int, not {type(workers).__name__}")
    if not 1 <= workers <= WORKERS_MOST:
        raise ValueError(f"workers must be between 1 and {WORKERS_MOST}, not {shown(workers)}")


def _bytes(what: str, most: object) -> int:
    if type(most) is not int:
        raise TypeError(f"{what} must be an int, not {type(most).__name__}")
    if not 2 <= most <= STORED_MOST:
        raise ValueError(f"{what} must be between 2 and {STORED_MOST}, not {shown(most)}")
    return most


def check_schema(schema: object) -> str:
    """Raises TypeError or ValueError for what cannot be the name of a PostgreSQL schema."""
    name = check_identifier("schema", schema)
    if name.startswith("pg_"):
        raise ValueError(f'schema must not begin with "pg_", which PostgreSQL keeps for itself: {name!r}')
    return name


def check_identifier(what: str, name: object) -> str:
    """Raises TypeError or ValueError for what PostgreSQL would not keep as it is."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a str, not {type(name).__name__}")
    if "\x00" in name or any("\ud800" <= c <= "\udfff" for c in name):
        raise ValueError(f"{what} contains a NUL character or a lone surrogate")
    if not 1 <= len(name.encode()) <= 63:
        raise ValueError(f"{what} must be 1 to 63 bytes of UTF-8, not {len(name.encode())}: PostgreSQL would cut it off")
    return name


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
