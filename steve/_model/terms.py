"""HandlerTerms: what is said about a type of jobs when its handler is registered. Checked at once and then frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from steve._model.capture import check_level, check_prints
from steve._model.names import check_name
from steve._model.times import check_timeout
from steve.errors import shown
from steve.job import Job
from steve.retry import MAX_ATTEMPTS, STRATEGIES, RetryPolicy

RetryDelay = Callable[[Job, BaseException], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerTerms:
    """The keywords of `JobManager.handler`. The constructor raises TypeError or ValueError for the first one that is wrong."""

    give_up_on: tuple[type[BaseException], ...] = ()
    """After one of these exceptions the job is not tried again. The constructor takes a single class, too."""
    retry_delay: RetryDelay | None = None
    """Called with the job and the error; returns in how many seconds to try again, or None to give up. None: the policy of the
    job decides."""
    timeout: float | None = None
    """Seconds that an attempt may take, if `create` does not say it; the constructor takes a timedelta, too. None: the
    manager's."""
    interrupt: bool = False
    """Whether TimeLimit is raised into the handler at its deadline."""
    max_attempts: int | None = None
    backoff_strategy: str | RetryPolicy | None = None
    queue: str | None = None
    priority: int | None = None
    """These four: what `create` takes for a job of the type if its caller says nothing. None: nothing is said here either."""
    capture_logs: int | None = None
    """The least level of the log lines of its runs that are kept; the constructor also takes its name, and False for none.
    None: what the manager says."""
    capture_print: bool | None = None

    @property
    def need_setup(self) -> bool:
        """Whether there is more to do for a run than to call the handler."""
        return not (self.timeout is None and self.capture_logs is None and self.capture_print is None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "capture_logs", check_level(self.capture_logs))
        check_prints(self.capture_print)
        object.__setattr__(self, "give_up_on", _exceptions(self.give_up_on))
        if self.retry_delay is not None and not callable(self.retry_delay):
            raise TypeError(f"retry_delay must be callable, not {type(self.retry_delay).__name__}")
        object.__setattr__(self, "timeout", None if self.timeout is None else check_timeout("timeout", self.timeout))
        if not isinstance(self.interrupt, bool):
            raise TypeError(f"interrupt must be True or False, not {type(self.interrupt).__name__}")
        _check_int("max_attempts", self.max_attempts, 1, MAX_ATTEMPTS)
        _check_int("priority", self.priority, -100, 100)
        strategy = self.backoff_strategy
        if strategy is not None and not isinstance(strategy, RetryPolicy):
            if not isinstance(strategy, str):
                raise TypeError(f'backoff_strategy must be "none", "exp" or a RetryPolicy, not {type(strategy).__name__}')
            if strategy not in STRATEGIES:
                raise ValueError(f'backoff_strategy must be "none", "exp" or a RetryPolicy, not {shown(strategy)}')
        if self.queue is not None:
            object.__setattr__(self, "queue", check_name("queue", self.queue))


def no_terms(name: str) -> HandlerTerms | None:
    """The terms of all types where none has any."""
    return None


def _exceptions(given: Any) -> tuple[type[BaseException], ...]:
    classes = given if isinstance(given, tuple | list) else (given,)
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise TypeError(f"give_up_on must be a tuple of exception classes, and {shown(one)} is none")
    return tuple(classes)


def _check_int(name: str, value: object, least: int, most: int) -> None:
    if value is None:
        return
    if type(value) is not int:  # not isinstance: True is an int
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be between {least} and {most}, not {shown(value)}")
