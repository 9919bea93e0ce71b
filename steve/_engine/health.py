"""Whether the engine does its work, judged by what its parts remember. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from steve._model.settings import Settings
from steve.health import Health

STOPPED = Health(ok=False, problems=("the manager is not running: start() was not called, or stop() was",))


class Idle(NamedTuple):
    """For how many seconds workers have been free and nothing was begun: 0 while all are busy."""

    unclaimed: float = 0.0
    """Since a claim last had its answer."""
    alone: float = 0.0
    """Since a job on its last chance has kept all others from beginning."""
    slow_listeners: float = 0.0
    """The same as `unclaimed`, while events that wait to be told hold up the claims."""


class Outages(NamedTuple):
    """What the loops met."""

    failing: Sequence[str]
    """The loops that cannot use the database."""
    seconds: float
    """For how long."""
    access: Sequence[str]
    """What keeps the role from its work, a sentence each."""


def judge_health(health: Health, settings: Settings, outages: Outages, idle: Idle) -> Health:
    """The same health with its problems."""
    most = settings.tuning.unhealthy_after
    failing = outages.failing
    problems = [f"the thread {name} is dead" for name in health.dead_threads]
    if failing and outages.seconds > most:
        problems.append(f"{' and '.join(failing)} cannot use the database, for {outages.seconds:.0f} s now")
    if health.heartbeat_age is not None and health.heartbeat_age > max(settings.lease / 2, 2 * settings.heartbeat):
        problems.append(f"the last heartbeat was {health.heartbeat_age:.0f} s ago: others may soon take this process for dead")
    if health.oldest_unsettled is not None and health.oldest_unsettled > most:
        problems.append(f"outcomes have waited to be written for {health.oldest_unsettled:.0f} s")
    if idle.alone > most:
        problems.append(f"nothing else begins until a job on its last chance has run alone, for {idle.alone:.0f} s now")
    if idle.slow_listeners > most:
        problems.append(f"events wait for slow listeners, so nothing is claimed, for {idle.slow_listeners:.0f} s now")
    elif idle.unclaimed > most + 1.1 * settings.poll_interval and "claiming" not in failing:
        problems.append(f"no claim has had an answer for {idle.unclaimed:.0f} s")
    return with_problems(health, [*problems, *outages.access])


def with_problems(health: Health, problems: Sequence[str]) -> Health:
    return replace(health, ok=not problems, problems=tuple(problems))
