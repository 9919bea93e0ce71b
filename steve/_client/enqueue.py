"""Turns the arguments of `create` and `create_many` into jobs to insert, before anything is sent.

It checks all arguments, merges the defaults, encodes the payload and makes the uid. It raises InvalidJob for every argument
that is wrong.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from steve._client.options import WINDOW_LEAST, instant, options_of, seconds
from steve._database.statements.jobs import Insert, Terms
from steve._model import json as _json
from steve._model.names import name_flaw
from steve._model.settings import Settings
from steve._model.terms import HandlerTerms, no_terms
from steve._model.uids import ticks_at, uuid7
from steve.errors import InvalidJob, shown
from steve.job import Draft, Job, NewJob, Status, sealed
from steve.retry import MAX_ATTEMPTS, STRATEGIES, RetryPolicy

NOTIFY_WITHIN = timedelta(hours=2)
"""A job that is due later wakes no process, since a poll finds it in time. Polls are at most an hour apart, and the other hour
allows for clocks that differ."""


TermsOf = Callable[[str], HandlerTerms | None]


def checked(new: NewJob, settings: Settings, terms_of: TermsOf = no_terms) -> Insert:
    """The job to insert. What `new` leaves open is filled in from `terms_of(type)`, what was said when the handler of the type
    was registered, and then from `retry` of the settings. Raises InvalidJob."""
    return Insert(new_uid(), _payload(new.payload, settings.max_payload_bytes), _terms(new, settings.retry, terms_of))


def new_uid() -> int:
    return uuid7(ticks_at(time.time_ns()), int.from_bytes(os.urandom(8), "big"))


def checked_many(
    jobs: object,
    defaults: NewJob,
    settings: Settings,
    terms_of: TermsOf = no_terms,
    *,
    clock: Callable[[], int] = time.time_ns,
) -> list[Insert]:
    """The jobs to insert, from an iterable of ("type", payload) pairs or NewJobs. Errors name the place: jobs[3].

    `clock()`: nanoseconds since 1970.
    """
    if isinstance(jobs, str | bytes | dict) or not isinstance(jobs, Iterable):
        raise InvalidJob(f'jobs must be an iterable of ("type", payload) pairs or NewJobs, not {type(jobs).__name__}')
    most = settings.max_payload_bytes
    terms = _TermsOfCall(defaults, settings.retry, terms_of)
    inserts = []
    uids = _uids(clock)
    for position, item in enumerate(jobs):
        try:
            if isinstance(item, NewJob):
                payload, shared = item.payload, terms.of_new(item)
            elif isinstance(item, (tuple, list)) and len(item) == 2:  # not tuple | list, which would be built for each item
                name, payload = item
                shared = (terms.by_type.get(name) if isinstance(name, str) else None) or terms.of_pair(name)
            else:
                raise InvalidJob(f'must be a ("type", payload) pair or a NewJob, not {type(item).__name__}')
            inserts.append(Insert(next(uids), _payload(payload, most), shared))
        except InvalidJob as error:
            raise InvalidJob(f"jobs[{position}]: {error}") from None
    return inserts


class _TermsOfCall:
    """Makes the terms of the jobs of one `create_many`. What many jobs have alike is checked once."""

    def __init__(self, defaults: NewJob, retry: RetryPolicy, terms_of: TermsOf) -> None:
        """Raises InvalidJob, even if there are no jobs."""
        self._defaults = defaults
        self._retry = retry
        self._terms_of = terms_of
        # Pairs have no `unique`, so the default for `unique_for` does not apply to them.
        self._of_pairs = defaults if defaults.unique is not None else replace(defaults, unique_for=None)
        self._has_options = _terms(self._of_pairs, retry, no_terms).options is not None or defaults.unique_for is not None
        self._has_options |= defaults.on_conflict not in (None, "return")
        if defaults.unique_for is not None:
            seconds("unique_for", defaults.unique_for, WINDOW_LEAST)
        self.by_type: dict[str, Terms] = {}  # of the pairs so far
        self._by_values: dict[tuple[object, ...], Terms] = {}  # without options

    def of_pair(self, name: object) -> Terms:
        terms = _terms(replace(self._of_pairs, type=name), self._retry, self._terms_of)  # type: ignore[arg-type]  # it is checked there
        self.by_type[terms.type] = terms
        return terms

    def of_new(self, item: NewJob) -> Terms:
        # The types are there because 1 == True == 1.0. Times are left out: two that are equal may differ in `fold`.
        values = (
            item.type, item.max_attempts, type(item.max_attempts), item.backoff_strategy, item.queue, item.priority,
            type(item.priority), item.delay is None,
        )  # fmt: skip
        try:
            known = self._by_values.get(values) if item.run_at is None else None
        except TypeError:  # one of them is not hashable, and so is wrong
            known = None
        if known is None:
            terms = _terms(_merged(item, self._defaults), self._retry, self._terms_of)
            if item.run_at is None:
                self._by_values[values] = terms if terms.options is None else terms._replace(options=None)
            return terms
        options = options_of(_merged(item, self._defaults) if self._has_options else item)
        return known if options is None else Terms(*known[:-1], options)


def as_new_jobs(jobs: object, defaults: NewJob) -> list[NewJob]:
    """The jobs as NewJobs in which the defaults are filled in, for the hooks around create_many. Their values are not checked
    yet. Raises InvalidJob for what is neither a pair nor a NewJob."""
    if isinstance(jobs, str | bytes | dict) or not isinstance(jobs, Iterable):
        raise InvalidJob(f'jobs must be an iterable of ("type", payload) pairs or NewJobs, not {type(jobs).__name__}')
    made = []
    for position, item in enumerate(jobs):
        if isinstance(item, NewJob):
            new = item
        elif isinstance(item, (tuple, list)) and len(item) == 2:
            new = NewJob(item[0], item[1])
        else:
            raise InvalidJob(f'jobs[{position}]: must be a ("type", payload) pair or a NewJob, not {type(item).__name__}')
        made.append(replace(_merged(new, defaults), payload=new.payload))
    return made


def notified(notify: object, default: bool, *jobs: Insert) -> bool:
    """Whether to wake waiting processes. They claim jobs that are due, and learn when the next one is. Raises InvalidJob."""
    if notify is None:
        notify = default
    if not isinstance(notify, bool):
        raise InvalidJob(f"notify must be True, False or None, not {shown(notify)}")
    return notify and any(_is_soon(job.terms) for job in jobs)


def _is_soon(terms: Terms) -> bool:
    if terms.options is not None and terms.options.delay is not None:
        return terms.options.delay < NOTIFY_WITHIN.total_seconds()
    return terms.run_at is None or terms.run_at < datetime.now(UTC) + NOTIFY_WITHIN


def as_job(
    insert: Insert, created_at: datetime, updated_at: datetime, run_at: datetime, expires_at: datetime | None = None
) -> Job:
    """The Job for the caller: what was sent, and what the database added."""
    terms = insert.terms
    unique = tags = metadata = timeout = None
    if (options := terms.options) is not None:
        unique, tags, metadata, timeout = options.unique, options.tags, options.metadata, options.timeout
    draft = Draft(
        insert.uid,
        terms.queue,
        terms.type,
        terms.priority,
        _json.decode(insert.payload),
        None,  # result
        None,  # error
        Status.PENDING,
        0,  # attempts
        0,  # crashes
        terms.max_attempts,
        terms.backoff_strategy,
        created_at,
        updated_at,
        run_at,
        None,  # claimed_at
        None,  # started_at
        None,  # completed_at
        unique,
        _json.decode(tags) if tags else {},
        _json.decode(metadata) if metadata else {},
        timeout,
        expires_at,
        None,  # cancel_asked_at
        False,  # duplicate
        None,  # progress
    )
    return sealed(draft)


def _uids(clock: Callable[[], int]) -> Iterator[int]:
    """An endless series of uids, ascending. It reads the clock and the random source once for a thousand uids, and counts the
    ticks up in between: a thousand ticks are a quarter of a millisecond."""
    ticks = 0
    while True:
        ticks = max(ticks, ticks_at(clock()))
        for (chance,) in struct.iter_unpack("Q", os.urandom(8_000)):
            yield uuid7(ticks, chance)
            ticks += 1


def _merged(item: NewJob, defaults: NewJob) -> NewJob:
    has_time = item.run_at is not None or item.delay is not None
    has_expiry = item.expires_at is not None or item.expires_in is not None
    unique = defaults.unique if item.unique is None else item.unique
    return NewJob(
        item.type,
        None,
        defaults.max_attempts if item.max_attempts is None else item.max_attempts,
        defaults.backoff_strategy if item.backoff_strategy is None else item.backoff_strategy,
        item.run_at if has_time else defaults.run_at,
        defaults.queue if item.queue is None else item.queue,
        defaults.priority if item.priority is None else item.priority,
        item.delay if has_time else defaults.delay,
        unique,
        defaults.on_conflict if item.on_conflict is None else item.on_conflict,
        defaults.unique_for if item.unique_for is None and unique is not None else item.unique_for,
        defaults.tags if item.tags is None else item.tags,
        defaults.metadata if item.metadata is None else item.metadata,
        item.expires_at if has_expiry else defaults.expires_at,
        item.expires_in if has_expiry else defaults.expires_in,
        defaults.timeout if item.timeout is None else item.timeout,
    )


def _filled(new: NewJob, said: HandlerTerms) -> NewJob:
    # A RetryPolicy that the caller names brings its own max_attempts.
    brings_attempts = new.max_attempts is not None or isinstance(new.backoff_strategy, RetryPolicy)
    return replace(
        new,
        max_attempts=new.max_attempts if brings_attempts else said.max_attempts,
        backoff_strategy=said.backoff_strategy if new.backoff_strategy is None else new.backoff_strategy,
        queue=said.queue if new.queue is None else new.queue,
        priority=said.priority if new.priority is None else new.priority,
    )


def _payload(payload: object, most: int) -> str:
    if payload is None:
        return "{}"
    if not isinstance(payload, dict):
        raise InvalidJob(f"payload must be a dict with str keys (a JSON object), not {type(payload).__name__}")
    try:
        text = _json.encode(payload, "payload")
    except _json.NotStorable as flaw:
        raise InvalidJob(str(flaw)) from None
    except Exception as error:  # a subclass of dict may raise anything
        raise InvalidJob(f"payload cannot be read: {type(error).__name__[:60]}") from error
    if (size := _json.size(text)) > most:
        raise InvalidJob(f"payload has {size} bytes as JSON, more than max_payload_bytes={most}")
    return text


def _terms(new: NewJob, retry: RetryPolicy, terms_of: TermsOf) -> Terms:
    said = terms_of(new.type) if isinstance(new.type, str) else None
    if said is not None:
        new = _filled(new, said)
    priority = 0 if new.priority is None else new.priority
    if type(priority) is not int or not -100 <= priority <= 100:
        raise InvalidJob(f"priority must be an int of -100 to 100 (higher first), not {shown(priority)}")
    policy = _policy(new.backoff_strategy, retry)
    return Terms(
        _name("queue", "default" if new.queue is None else new.queue),
        _name("type", new.type),
        priority,
        _max_attempts(new.max_attempts, new.backoff_strategy, retry),
        str.__str__(policy.backoff_strategy),  # not str(): see `_name`
        policy.base,
        policy.max_delay,
        policy.jitter,
        None if new.run_at is None else instant("run_at", new.run_at),
        options_of(new),
    )


def _name(what: str, name: object) -> str:
    if flaw := name_flaw(name):
        raise InvalidJob(f"{what} {flaw}")
    return str.__str__(name)  # not str(): for a str that is an Enum, it may return another text


def _policy(strategy: object, retry: RetryPolicy) -> RetryPolicy:
    """The policy whose delays are stored with the job."""
    if strategy is None:
        return retry
    if isinstance(strategy, RetryPolicy):
        return strategy
    if isinstance(strategy, str) and strategy in STRATEGIES:
        return RetryPolicy(retry.max_attempts, strategy, retry.base, retry.max_delay, retry.jitter)
    raise InvalidJob(f'backoff_strategy must be "none", "exp" or a RetryPolicy, not {shown(strategy)}')


def _max_attempts(given: object, strategy: object, retry: RetryPolicy) -> int:
    if given is None:
        return strategy.max_attempts if isinstance(strategy, RetryPolicy) else retry.max_attempts
    if type(given) is not int or not 1 <= given <= MAX_ATTEMPTS:  # not isinstance: True is an int
        raise InvalidJob(f"max_attempts must be an int of 1 to {MAX_ATTEMPTS}, not {shown(given)}")
    return given
