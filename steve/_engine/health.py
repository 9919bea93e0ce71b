"""Whether the engine does its work, judged by what its parts remember. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from steve._model.settings import WORKERS_MOST, Settings
from steve.health import Health

STOPPED = Health(ok=False, problems=("the manager is not running: start() was not called, or stop() was",))


class Idle(NamedTuple):
    """For how many seconds a worker has been free without a job to begin. All are 0 while all workers are busy."""

    unclaimed: float = 0.0
    """Since the last claim was answered."""
    alone: float = 0.0
    """Since a job on its last chance began to hold up all others; 0 if there is none."""
    slow_listeners: float = 0.0
    """As `unclaimed`, if the reason is that events wait for slow listeners; otherwise 0."""


class Outages(NamedTuple):
    """What keeps the loops from the database."""

    failing: Sequence[str]
    """The loops that cannot use the database."""
    seconds: float
    """For how many seconds there has been such a loop."""
    access: Sequence[str]
    """What keeps the role from its work, in sentences."""


def judge_health(health: Health, settings: Settings, outages: Outages, idle: Idle, workers: int = WORKERS_MOST) -> Health:
    """Returns `health` with its problems."""
    most = settings.tuning.unhealthy_after
    failing = outages.failing
    problems = [f"the thread {name} is dead" for name in health.dead_threads]
    if failing and outages.seconds > most:
        problems.append(f"{' and '.join(failing)} cannot use the database, for {outages.seconds:.0f} s now")
    if health.heartbeat_age is not None and health.heartbeat_age > max(min(settings.lease / 2, most), 2 * settings.heartbeat):
        age, lease = health.heartbeat_age, settings.lease
        problems.append(
            f"the last heartbeat was {age:.0f} s ago: others may take this process for dead, after {lease:g} s at the latest"
        )
    if health.oldest_unsettled is not None and health.oldest_unsettled > most:
        locked = f": the rows of their jobs are locked by {'; '.join(health.blockers)}" if health.blockers else ""
        problems.append(f"outcomes have waited to be written for {health.oldest_unsettled:.0f} s{locked}")
    if idle.alone > most:
        problems.append(f"a job on its last chance must run alone, and has held up all others for {idle.alone:.0f} s")
    if idle.slow_listeners > most:
        problems.append(f"events wait for slow listeners, so nothing is claimed, for {idle.slow_listeners:.0f} s now")
    elif idle.unclaimed > most + 1.1 * settings.poll_interval and "claiming" not in failing:
        problems.append(f"no claim has had an answer for {idle.unclaimed:.0f} s")
    if len(health.stuck) > workers:
        problems.append(f"{len(health.stuck)} handlers are stuck, and at most {workers} of them are replaced")
    return with_problems(health, [*problems, *outages.access])


def with_problems(health: Health, problems: Sequence[str]) -> Health:
    return replace(health, ok=not problems, problems=tuple(problems))
