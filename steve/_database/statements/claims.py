"""Statements that claim jobs, and that find out what earlier claims took."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from steve._database.failures import Connection, Refused
from steve._database.literals import array, text_array
from steve._database.statements.rows import claim_order, claimed_row
from steve._database.statements.script import Script
from steve._model.claim import ClaimReply, Demand, Lane, Watermark
from steve._model.claimed import Claimed
from steve._runtime.log import logger


class ClaimFilter(NamedTuple):
    """A condition that a job must meet to be claimed by this process."""

    condition: str
    """SQL about the columns `{row}queue`, `{row}type` and `{row}priority`."""


def with_filters(text: str, filters: Sequence[ClaimFilter]) -> str:
    """The statement with the filters in their places. It is put together once, so that unused filters cost nothing.

    `is true` hides the condition from the planner, which might otherwise use an index for it: to find the few crashed jobs of a
    queue, it would read all pending jobs of that queue.
    """
    for token, row in (("{filters of headed}", "headed."), ("{filters}", "")):
        conditions = [f"({one.condition.replace('{row}', row)}) is true" for one in filters]
        text = text.replace(token, " and ".join(conditions) or "true")
    return text


class ClaimStatements:
    """Claiming jobs, and finding out what earlier claims took."""

    def __init__(self, script: Script, queues: Sequence[str] | None) -> None:
        """`queues`: the queues that are served. None: all."""
        self._script = script
        self._queues = queues
        self._left_out: set[str] = set()
        filters = [] if queues is None else [ClaimFilter("{row}queue = any(%(served_queues)s::pg_catalog.text[])")]
        script.set_text("claim_jobs", with_filters(script.text("claim_jobs"), filters))

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
        lanes = demand.watermarks or {}
        mosts, queues = demand.mosts, self._queues or ()
        if self._left_out:
            mosts = {type: most for type, most in mosts.items() if type not in self._left_out}
            queues = [queue for queue in queues if queue not in self._left_out]
        parameters = {
            "n": demand.n,
            "lane_least": self._script.tuning.lane_least,
            "full": demand.watermarks is None,
            "queues": text_array(lane.queue for lane in lanes),
            "types": text_array(lane.type for lane in lanes),
            "priorities": array(lane.priority for lane in lanes),
            "run_ats": text_array(run_at.isoformat() for run_at, _ in lanes.values()),
            "ids": array(id for _, id in lanes.values()),
            "known_types": text_array(mosts),
            "mosts": array(mosts.values()),
            "unknown_most": demand.unknown_most,
            "any_type": demand.any_type,
            "served_queues": text_array(queues),
            "process_id": process_id,
            "crashed": demand.crashed,
            "alone": demand.alone,
            "max_crashes": max_crashes,
        }
        rows = self._script.rows(connection, "claim_jobs", parameters, prepare=True)
        jobs = [claimed_row(row[:-4]) for row in rows if row[0] is not None]
        jobs.sort(key=claim_order)  # `returning` does not promise any order
        next_due_in, scan_seconds, heads, last_chance = next(row[-4:] for row in rows if row[0] is None)
        return ClaimReply(jobs, next_due_in, scan_seconds, dict(map(_head, json.loads(heads)) if heads else ()), last_chance)

    def find_claimed(self, connection: Connection, process_id: int, answered: Sequence[datetime]) -> list[Claimed]:
        """The jobs that this process claimed after the first of these times, except those that it claimed at one of them."""
        times = text_array([at.isoformat() for at in answered])
        rows = self._script.rows(connection, "find_claimed", {"process_id": process_id, "answered": times})
        return sorted(map(claimed_row, rows), key=claim_order)

    def find_horizon(self, connection: Connection) -> list[tuple[str, float | None]]:
        """What keeps PostgreSQL from removing dead rows and index entries, and for how many seconds it has done so."""
        return [(row[0], row[1]) for row in self._script.rows(connection, "find_horizon", {})]


def _head(values: list[Any]) -> tuple[Lane, Watermark]:
    queue, type, priority, run_at, id = values
    return Lane(queue, type, priority), (datetime.fromisoformat(run_at), id)
