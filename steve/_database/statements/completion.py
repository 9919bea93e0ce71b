"""Statements of `run.complete()`, which are part of a caller's transaction. They are never prepared: see JobStatements."""

from __future__ import annotations

import time
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from steve._database.caller import AnyConnection
from steve._database.failures import DatabaseFailure
from steve._database.literals import uuid_array
from steve._database.statements.script import Script


class RunClaim(NamedTuple):
    """The claim of a run that is to be completed."""

    uid: UUID
    lease_no: int
    claimed_at: datetime
    begun: float
    """When the run began, by time.monotonic()."""


class Lease(NamedTuple):
    """Who holds the job as the transaction sees it, in the order of the columns of find_lease.sql."""

    status: str
    lease_no: int
    is_same: bool
    """Whether the job was claimed at the time of the claim that is asked about."""


class CompletionStatements:
    def __init__(self, script: Script) -> None:
        self._script = script
        self.schema = script.schema

    def complete_job(self, connection: AnyConnection, process: str, claim: RunClaim, result: str | None, *, tell: bool) -> bool:
        """Returns whether the job was held under this claim, and so is completed now. `result`: JSON text. `tell`: tell the
        processes that wait for jobs to end."""
        parameters = {
            "process": process,
            "uid": claim.uid,
            "lease_no": claim.lease_no,
            "claimed_at": claim.claimed_at.isoformat(),
            "begun_ago": int((time.monotonic() - claim.begun) * 1e6),
            "result": result,
            "tell": tell,
            "ended": self._script.ended_channel,
        }
        return bool(self._script.rows(connection, "complete_job", parameters, prepare=False))

    def is_locked(self, connection: AnyConnection, uid: UUID) -> bool:
        """Whether another transaction has locked the row of the job. If none has, this one has locked it then."""
        return not self._script.rows(connection, "find_unlocked", {"uids": uuid_array([uid])}, prepare=False)

    def find_lease(self, connection: AnyConnection, claim: RunClaim) -> Lease | None:
        """None: there is no such job in this database, as far as this transaction sees."""
        parameters = {"uid": claim.uid, "claimed_at": claim.claimed_at.isoformat()}
        rows = self._script.rows(connection, "find_lease", parameters, prepare=False)
        return Lease(*rows[0]) if rows else None

    def abort_transaction(self, connection: AnyConnection, reason: str) -> None:
        """From now on the transaction can only be rolled back. `reason`: for the server's log."""
        try:
            self._script.rows(connection, "abort_transaction", {"reason": reason}, prepare=False)
        except DatabaseFailure:
            pass
