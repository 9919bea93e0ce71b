"""Calls one handler as a worker would, without a database: its payload and its result go through JSON, it runs within the
hooks, with its timeout, and `current_run()` works. No listener is told.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from steve._database.statements.jobs import Insert
from steve._engine.inline.drain import NobodyStuck, Timers
from steve._engine.registry import Registry
from steve._engine.work.limit import Limits
from steve._engine.work.run import run
from steve._engine.work.setup import Setups
from steve._engine.work.signals import RunSignals
from steve._model import json as _json
from steve._model.claimed import Claimed, Extras
from steve._model.outcome import CancelRaised, Outcome, Raised, Returned, Snoozed, Unusable
from steve._model.settings import Settings
from steve.errors import Cancel, JobFailed, Snooze
from steve.job import Job, Status


def perform(insert: Insert, attempt: int, *, registry: Registry, settings: Settings) -> Any:
    """Returns what the handler returned, after JSON. Raises what it raised, and JobFailed if its result cannot be stored."""
    claimed = _claimed(insert, attempt)
    handler = registry.handlers.get(claimed.type)
    if handler is None:
        raise ValueError(f"perform: the manager has no handler for {claimed.type!r}: import the module that registers it")
    raised: list[BaseException] = []

    def noted(job: Job) -> Any:
        try:
            return handler(job)
        except BaseException as error:
            raised.append(error)
            raise

    timers = Timers()
    limits = Limits(handlers=registry.handlers, settings=settings, deadlines=timers.deadlines, stuck=NobodyStuck())
    setups = Setups(registry=registry, limits=limits, records=None, settings=settings)
    signals = RunSignals(deadlines=timers.deadlines)
    begun = time.monotonic()
    try:
        terms_of = registry.handlers.terms
        outcome = run(claimed, noted, signals, settings.max_result_bytes, terms_of, begun, setups.of(claimed))
        return _result(outcome, claimed, raised)
    finally:
        timers.end()
        raised.clear()  # their tracebacks refer to this frame


def _result(outcome: Outcome, claimed: Claimed, raised: list[BaseException]) -> Any:
    match outcome:
        case Returned(result):
            return None if result is None else _json.decode(result)
        case Raised(error=error) if error is not None:
            raise error
        case Raised(message=message) | Unusable(message=message):
            raise raised[-1] if raised else JobFailed(message, claimed.job(_json.decode_or_text, Status.RUNNING))
        case Snoozed(seconds):
            raise raised[-1] if raised else Snooze(seconds)
        case CancelRaised(message=message):
            raise raised[-1] if raised else Cancel(message)
    raise AssertionError(outcome)


def _claimed(insert: Insert, attempt: int) -> Claimed:
    now = datetime.now(UTC)
    terms, options = insert.terms, insert.terms.options
    extras = None
    if options is not None:
        expires_at = None if options.expires_at is None else options.expires_at.isoformat()
        given = Extras(
            options.unique,
            None if options.tags is None else _json.decode(options.tags),
            None if options.metadata is None else _json.decode(options.metadata),
            options.timeout,
            expires_at,
        )
        extras = _json.encode(given._asdict(), "the job")
    return Claimed(
        insert.uid, terms.queue, terms.type, terms.priority, insert.payload, None, attempt, 0, terms.max_attempts,
        terms.backoff_strategy, terms.backoff_base, terms.backoff_max, terms.backoff_jitter, attempt, now, now, now,
        now if attempt > 1 else None, extras,
    )  # fmt: skip
