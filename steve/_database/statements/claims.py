"""Statements that claim jobs, and that find out what earlier claims took."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from steve._database.execute import read_statement
from steve._database.failures import Connection, Refused
from steve._database.fragments import IN_LANES
from steve._database.literals import array, text_array, uuid_array
from steve._database.statements.rows import claim_order, claimed_row
from steve._database.statements.script import Script
from steve._model.claim import ClaimReply, Demand, Watermark
from steve._model.claimed import Claimed, Settled
from steve._model.outcome import EXPIRED, Verdict
from steve._model.pauses import Paused
from steve._runtime.log import logger
from steve.job import Status

_ABOVE_ALL_PRIORITIES = 2**15 - 1
"""The greatest smallint, which is no priority."""


UNPAUSED = """\
not exists (
  select
  from unnest(%(paused_queues)s::pg_catalog.text[], %(paused_types)s::pg_catalog.text[]) as paused (in_queue, of_type)
  where (in_queue is null or in_queue = queue) and (of_type is null or of_type = type)
)"""
"""Whether a job, or a lane, is not paused. What is paused comes as two arrays of one length; a null stands for all."""


REACH, REACH_MOST = 2, 100_000
"""Beside a pause, a claim looks at this many times as many jobs as it asks for, if there are so many."""


class ClaimFilter(NamedTuple):
    """A condition that a job must meet to be claimed by this process."""

    condition: str
    """SQL about the columns `queue`, `type` and `priority`."""


def with_filters(text: str, filters: Sequence[ClaimFilter]) -> str:
    """The statement with the filters in their places. It is put together once, so that unused filters cost nothing.

    `is true` hides the condition from the planner, which might otherwise use an index for it: to find the few crashed jobs of a
    queue, it would read all pending jobs of that queue.
    """
    return text.replace("{filters}", " and ".join(f"({one.condition}) is true" for one in filters) or "true")


def in_lanes(text: str, schema: str) -> str:
    """claim_jobs.sql, with another way to find the jobs: IN_LANES in place of its `found` and `scanned`."""
    before, rest = text.split("), found as materialized (")
    _, after = rest.split("), ranked as (")
    return f"{before}), {read_statement(IN_LANES, schema)}, ranked as ({after}"


class ClaimStatements:
    """Claiming jobs, and finding out what earlier claims took."""

    def __init__(self, script: Script, queues: Sequence[str] | None, excluded: Sequence[str] = ()) -> None:
        """`queues`: the queues that are served. None: all but the `excluded` ones."""
        filters = _filters(queues, excluded)
        unpaused = [*filters, ClaimFilter(UNPAUSED)]
        texts = {name: with_filters(script.text(name), filters) for name in ("claim_jobs", "find_heads", "time_full_scan")}
        texts["claim_unpaused"] = with_filters(in_lanes(script.text("claim_jobs"), script.schema), unpaused)
        texts["find_unpaused_heads"] = with_filters(script.text("find_heads"), unpaused)
        self._script = script.with_texts(texts)
        self._unfiltered = script
        self._queues = excluded if queues is None else queues
        self._left_out: set[str] = set()
        self._reach = REACH

    def for_pool(self, queues: Sequence[str] | None, excluded: Sequence[str]) -> ClaimStatements:
        """The same statements, for other queues."""
        return ClaimStatements(self._unfiltered, queues, excluded)

    def claim_jobs(self, connection: Connection, process_id: int, max_crashes: int, demand: Demand) -> ClaimReply:
        """Claim at most `demand.n` jobs, and besides them at most `demand.crashed` that crashed."""
        try:
            return self._claim_jobs(connection, process_id, max_crashes, demand)
        except Refused as error:
            # 22P05: the database's encoding is not UTF-8. A name that it cannot hold must not stop all claims.
            names = {*demand.mosts, *(self._queues or ())} - self._left_out
            if error.sqlstate != "22P05" or not self._leave_out(connection, names):
                raise
            return self._claim_jobs(connection, process_id, max_crashes, demand)

    def _leave_out(self, connection: Connection, names: Iterable[str]) -> bool:
        """From now on, leave out the names that the database cannot hold. Returns whether there are any."""
        found = set()
        for name in names:
            try:
                self._script.rows(connection, "check_name", {"name": name}, prepare=False)
            except Refused:
                found.add(name)
                logger.warning("the database's encoding cannot hold the name %r, so no job has it: it is left out", name)
        self._left_out |= found
        return bool(found)

    def _claim_jobs(self, connection: Connection, process_id: int, max_crashes: int, demand: Demand) -> ClaimReply:
        if demand.peek:
            ((due_in, seconds),) = self._script.rows(connection, "peek", {}, prepare=True)
            if due_in is None or due_in > 0.0:
                return ClaimReply([], due_in, seconds, {})
        watermarks = sorted((demand.watermarks or {}).items(), reverse=True)  # the highest priority first
        below = None
        if demand.watermarks is None:
            below = _ABOVE_ALL_PRIORITIES
        elif demand.lower_too and watermarks:
            below = watermarks[-1][0]
        served = self._served(demand)
        mosts = [demand.mosts[type] for type in served.types]
        parameters = served.parameters() | {
            "n": demand.n,
            "mosts": array(mosts),
            "unknown_most": demand.unknown_most,
            "capped": min(mosts, default=demand.n) < demand.n or (demand.any_type and demand.unknown_most < demand.n),
            "below": None if below is None else str(below),
            "priorities": array(priority for priority, _ in watermarks),
            "run_ats": text_array(run_at.isoformat() for _, (run_at, _) in watermarks),
            "uids": uuid_array(uid for _, (_, uid) in watermarks),
            "process_id": process_id,
            "crashed": demand.crashed,
            "alone": demand.alone,
            "max_crashes": max_crashes,
            "fleet_lock": f"steve {self._script.schema} claim" if demand.fleet_lock else None,
        }
        if demand.paused:
            parameters["reach"] = self._reach
            if any(paused.covers_all() for paused in demand.paused):
                parameters |= {"n": 0, "crashed": 0}
        rows = self._script.rows(connection, "claim_unpaused" if demand.paused else "claim_jobs", parameters, prepare=True)
        jobs = [claimed_row(row[:-7]) for row in rows if row[0] is not None]
        jobs.sort(key=claim_order)  # `returning` promises no order
        summary = next(row[-7:] for row in rows if row[0] is None)
        next_due_in, scan_seconds, ends, cut_off, left_over, last_chance, is_mine = summary
        # In lanes, a claim looks at a bounded number of jobs. If others have locked all of these, it is to come again, and to
        # look further, in case they are locked for long.
        is_early = bool(demand.paused) and not jobs and cut_off and parameters["n"] > 0
        self._reach = min(self._reach * 4, REACH_MOST) if is_early else max(self._reach // 2, REACH)
        refused = is_early or not is_mine
        return ClaimReply(
            jobs, next_due_in, scan_seconds, dict(_places(ends)), _places(left_over), cut_off, last_chance, refused=refused
        )

    def find_heads(self, connection: Connection, demand: Demand) -> dict[int, Watermark]:
        """The first pending job of each priority, among those that are served."""
        name = "find_unpaused_heads" if demand.paused else "find_heads"
        rows = self._script.rows(connection, name, self._served(demand).parameters(), prepare=True)
        return {priority: (run_at, uid) for priority, run_at, uid in rows}

    def time_full_scan(self, connection: Connection, demand: Demand) -> float:
        """How many seconds a full scan takes to find `demand.n` due jobs, or to find that there are fewer."""
        parameters = self._served(demand).parameters() | {"n": demand.n}
        seconds: float = self._script.rows(connection, "time_full_scan", parameters, prepare=True)[0][0]
        return seconds

    def _served(self, demand: Demand) -> _Served:
        left_out = self._left_out
        types = [type for type in demand.mosts if type not in left_out] if left_out else list(demand.mosts)
        return _Served(types, demand.any_type, [queue for queue in self._queues or () if queue not in left_out], demand.paused)

    def find_claimed(self, connection: Connection, process_id: int, answered: Sequence[datetime]) -> list[Claimed]:
        """The jobs that this process claimed after the first of these times, except those that it claimed at one of them."""
        times = text_array([at.isoformat() for at in answered])
        rows = self._script.rows(connection, "find_claimed", {"process_id": process_id, "answered": times})
        return sorted(map(claimed_row, rows), key=claim_order)

    def expire_jobs(self, connection: Connection, *, notify: bool) -> list[tuple[Verdict, Settled]]:
        """Cancel some jobs that have not begun by their `expires_at`. Returns them. An empty list: there are no more.
        `notify`: tell the processes that wait for jobs."""
        parameters = {"n": self._script.tuning.expire_most, **self._script.channels}

        def send(notify: bool) -> list[tuple[Any, ...]]:
            return self._script.rows(connection, "expire_jobs", parameters | {"notify": notify}, prepare=True)

        return [_expired(row) for row in self._script.with_notification(connection, notify, send)]

    def find_horizon(self, connection: Connection) -> list[tuple[str, float | None]]:
        """What keeps PostgreSQL from removing dead rows and index entries, and for how many seconds it has done so."""
        return [(row[0], row[1]) for row in self._script.rows(connection, "find_horizon", {})]


def _filters(queues: Sequence[str] | None, excluded: Sequence[str]) -> list[ClaimFilter]:
    if queues is not None:
        return [ClaimFilter("queue = any(%(queues)s)")]
    return [ClaimFilter("queue <> all(%(queues)s)")] if excluded else []


class _Served(NamedTuple):
    """Which jobs are for this process."""

    types: list[str]
    any_type: bool
    queues: list[str]
    """Those of the filter: the queues that are served, or excluded."""
    paused: Sequence[Paused]

    def parameters(self) -> dict[str, Any]:
        parameters = {"types": text_array(self.types), "any_type": self.any_type, "queues": text_array(self.queues)}
        if self.paused:
            parameters["paused_queues"] = text_array(paused.queue for paused in self.paused)
            parameters["paused_types"] = text_array(paused.type for paused in self.paused)
        return parameters


def _expired(row: tuple[Any, ...]) -> tuple[Verdict, Settled]:
    job = Claimed(*row[: len(Claimed._fields)])
    updated_at, completed_at = row[len(Claimed._fields) : -1]
    verdict = Verdict(job, None, Status.CANCELLED, None, error=job.error, delay=None, error_type=EXPIRED)
    return verdict, Settled(job.run_at, None, updated_at, completed_at, updated_at)


def _places(text: str | None) -> list[tuple[int, Any]]:
    """Priorities, each with a place, (run_at, uid), or None."""
    return [
        (priority, None if run_at is None else (datetime.fromisoformat(run_at), UUID(uid)))
        for priority, run_at, uid in json.loads(text or "[]")
    ]
