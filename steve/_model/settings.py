"""The settings: the keywords of `JobManager` except connections and handlers. They are checked at once and then frozen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from steve._model.capture import NOTHING, check_level, check_prints
from steve._model.control import ENDED
from steve._model.names import check_name, check_schema
from steve._model.times import check_timeout
from steve._model.tuning import Tuning
from steve.errors import shown
from steve.retry import RetryPolicy

POLL_MOST = 3600.0
"""The longest `poll_interval` that is allowed. A job that is due much later than that needs no notification, because a poll
finds it first: see NOTIFY_WITHIN in _client/enqueue.py."""
WORKERS_MOST = 1_000
STORED_MOST = 1 << 28
"""The most bytes that a payload or a result may be allowed to have: PostgreSQL's jsonb holds no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The constructor raises TypeError or ValueError for the first value that is wrong."""

    schema: str = "steve"
    """The PostgreSQL schema of the tables: 1 to 63 bytes of UTF-8, not beginning with pg_."""
    queues: tuple[str, ...] | None = None
    """The queues to work on; the constructor takes any iterable of names. None: all queues."""
    poll_interval: float = 1.0
    """Seconds, 0.05 to 3600: how often an idle manager looks for jobs if no notification comes."""
    retry: RetryPolicy = RetryPolicy()  # noqa: RUF009 - frozen
    """The policy of jobs that are created without `max_attempts` or `backoff_strategy`."""
    lease: float = 60.0
    """Seconds, 0.3 to 86,400: a connected process that sends no heartbeat for this long loses its jobs to others."""
    heartbeat: float = 5.0
    """The longest time between two heartbeats, in seconds, from 0.1 to a third of the lease."""
    max_crashes: int = 3
    """1 to 10,000: a job fails when this many processes have died while they held it."""
    notify: bool = True
    """Wake waiting processes with NOTIFY when a job is created, and listen for it."""
    max_payload_bytes: int = 1 << 20
    """The largest size of a payload as JSON in UTF-8, 2 to 268,435,456. A larger payload is an InvalidJob."""
    max_result_bytes: int = 1 << 20
    """The largest size of a result, in the same range. A job with a larger result fails."""
    create_timeout: float = 10.0
    """Seconds, 0.05 to 3600: how long a call, `start` included, tries to reach the database."""
    prune: tuple[tuple[str, timedelta], ...] | None = None
    """By final status: how long after its end a job is deleted; the constructor takes a mapping. None: nothing is deleted."""
    timeout: float | None = None
    """Seconds that an attempt may take, if neither `create` nor the handler says it; the constructor takes a timedelta, too.
    None: as long as it takes."""
    stuck_after: float = 10.0
    """Seconds, 0.05 to 86,400: a handler that has not returned so long after its deadline is stuck."""
    capture_logs: int | None = None
    """The least level of the log lines of runs that are kept; the constructor also takes its name, and False. None: none
    are."""
    capture_print: bool = False
    """Keep what runs print."""
    tuning: Tuning = field(default=Tuning(), repr=False)

    def __post_init__(self) -> None:
        check_schema(self.schema)
        self._become("queues", _queues(self.queues))
        self._become("poll_interval", _seconds("poll_interval", self.poll_interval, 0.05, POLL_MOST))
        if not isinstance(self.retry, RetryPolicy):
            raise TypeError(f"retry must be a RetryPolicy, not {type(self.retry).__name__}")
        self._become("heartbeat", _seconds("heartbeat", self.heartbeat, 0.1, 28_800))
        self._become("lease", _seconds("lease", self.lease, 0.3, 86_400))
        # A living process may be late with two heartbeats in a row. The product is rounded, because 3 * 0.1 is more than 0.3.
        if self.lease < round(3 * self.heartbeat, 6):
            raise ValueError(f"lease must be at least three heartbeats of {self.heartbeat:g} s, not {shown(self.lease)}")
        _check_int("max_crashes", self.max_crashes, 1, 10_000)
        if not isinstance(self.notify, bool):
            raise TypeError(f"notify must be True or False, not {type(self.notify).__name__}")
        _check_int("max_payload_bytes", self.max_payload_bytes, 2, STORED_MOST)
        _check_int("max_result_bytes", self.max_result_bytes, 2, STORED_MOST)
        self._become("prune", _ages(self.prune))
        self._become("capture_logs", check_level(self.capture_logs))
        self._become("capture_print", check_prints(self.capture_print) or False)
        self._become("create_timeout", _seconds("create_timeout", self.create_timeout, 0.05, 3600))
        self._become("timeout", None if self.timeout is None else check_timeout("timeout", self.timeout))
        self._become("stuck_after", _seconds("stuck_after", self.stuck_after, 0.05, 86_400))

    @property
    def captures(self) -> bool:
        """Whether something is kept of the runs of handlers that say nothing about it."""
        return self.capture_logs not in (None, NOTHING) or self.capture_print

    def _become(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def check_workers(workers: object) -> None:
    """Raises TypeError or ValueError if `workers` is not a possible number of workers."""
    _check_int("workers", workers, 1, WORKERS_MOST)


def _queues(queues: object) -> tuple[str, ...] | None:
    if queues is None:
        return None
    if isinstance(queues, str) or not isinstance(queues, Iterable):
        raise TypeError(f'queues must be a list of names such as ["default"] or None, not {type(queues).__name__}')
    names = tuple(queues)
    if not names:
        raise ValueError("queues is empty: name at least one, or pass None for all")
    for name in names:
        check_name("queues: a queue's name", name)
    return names


def _ages(prune: object) -> tuple[tuple[str, timedelta], ...] | None:
    if prune is None:
        return None
    if not isinstance(prune, Mapping):
        example = '{"completed": timedelta(days=1)}'
        raise TypeError(f"prune must be a dict such as {example} or None, not {type(prune).__name__}")
    if not prune:
        raise ValueError("prune is empty: name at least one status, or pass None to delete nothing")
    for status, age in prune.items():
        if status not in ENDED:
            raise ValueError(f"prune: a status must be one of {', '.join(ENDED)}, not {shown(status)}")
        if not isinstance(age, timedelta):
            raise TypeError(f"prune[{str(status)!r}] must be a datetime.timedelta, not {type(age).__name__}")
        if age < timedelta(0):
            raise ValueError(f"prune[{str(status)!r}] must be 0 or more, not {shown(age)}")
    return tuple((str(status), age) for status, age in prune.items())


def _seconds(name: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be between {least:g} and {most:g} seconds, not {shown(value)}")
    return float(value)


def _check_int(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int:  # not isinstance: True is an int
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be between {least} and {most}, not {shown(value)}")
