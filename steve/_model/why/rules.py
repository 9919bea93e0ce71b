"""Which rules are asked about a job, by its status, in which order. This is the place for new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from steve._model.why import ended, pending, running
from steve._model.why.facts import Facts
from steve.job import Status
from steve.why import Reason, Why

Rule = Callable[[Facts], Iterable[Reason]]

ALWAYS: Sequence[Rule] = (
    pending.expired,
    pending.not_due,
    pending.paused,
    pending.no_process,
    pending.no_handler,
    pending.no_queue,
    pending.quiet,
)
"""Of a pending job, whether it is due or not: what decides comes first."""

DUE: Sequence[Rule] = (
    pending.locked,
    pending.unwell,
    pending.suspect,
    pending.alone,
    pending.behind,
    pending.busy,
    pending.claim_lock,
    pending.snapshot,
)
"""Besides, of a pending job that is due."""

OTHERS: Mapping[str, Sequence[Rule]] = {
    "running": (running.holder, running.cancel_asked, running.locked),
    "completed": (ended.ended,),
    "failed": (ended.ended,),
    "cancelled": (ended.cancelled,),
}
"""By status."""


def why(facts: Facts) -> Why:
    job = facts.job
    if job is None:
        rule = ended.no_job if facts.unanswered is None else ended.unanswered
        return Why(facts.uid, None, tuple(rule(facts)))
    status: Status | str = job.status
    with suppress(ValueError):
        status = Status(job.status)
    return Why(facts.uid, status, tuple(_reasons(facts)), job.type, job.queue)


def _reasons(facts: Facts) -> list[Reason]:
    status = facts.row.status
    if status != "pending":
        return _asked(OTHERS.get(status, (ended.unknown_status,)), facts)
    if not facts.is_due():
        return _asked(ALWAYS, facts)
    return _asked([*ALWAYS, *DUE], facts) or list(pending.ready(facts))


def _asked(rules: Iterable[Rule], facts: Facts) -> list[Reason]:
    return [reason for rule in rules for reason in rule(facts)]
