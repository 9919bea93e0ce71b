"""Statements that find out what is wrong with the tables and the role's rights on them, and what became of a transaction."""

from __future__ import annotations

from steve._database.execute import quoted
from steve._database.failures import Connection, Refused, Transient
from steve._database.statements.script import Script

INDEXES = [
    "job_pkey", "job_due", "job_ready", "job_suspect", "job_claimed", "job_unique", "job_tags", "job_expiry", "job_failed",
    "job_cancel_asked", "attempt_pkey", "progress_pkey", "log_pkey", "process_pkey",
    "unique_window_pkey", "replacement_pkey", "audit_pkey", "duty_pkey", "waiter_pkey", "pause_key", "schedule_pkey",
    "served_pkey", "stat_pkey",
]  # fmt: skip

DEFAULTS = ["status", "attempts", "crashes", "lease_no", "created_at", "updated_at"]
"""The columns of job whose defaults the statements rely on; `check_tables` looks for them."""


class CheckStatements:
    """`check_tables` and `check_access` return the problems that they find, each as a sentence for people."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def begin_change(self, connection: Connection) -> str:
        """Within a transaction. Returns its number, by which `is_committed` knows it."""
        number: str = self._script.rows(connection, "begin_change", {}, prepare=False)[0][0]
        return number

    def is_committed(self, connection: Connection, number: str) -> bool:
        """Raises Transient while that transaction is still under way."""
        try:
            ((status,),) = self._script.rows(connection, "check_change", {"transaction": number}, prepare=False)
        except Refused as error:
            if error.sqlstate != "22023":
                raise
            return False
        if status == "in progress":
            raise Transient("the transaction of a lost connection has not ended yet")
        return bool(status == "committed")

    def check_tables(self, connection: Connection) -> list[str]:
        """Which keys, indexes and defaults the tables lack."""
        parameters = {
            "schema": quoted(self._script.schema),
            "job": self._script.table("job"),
            "indexes": INDEXES,
            "defaults": DEFAULTS,
        }
        return [row[0] for row in self._script.rows(connection, "check_tables", parameters, prepare=False)]

    def check_access(self, connection: Connection, *, worker: bool) -> list[str]:
        """What keeps this role from its work: rights that it lacks (checked only for a `worker`), and row level security that
        hides rows from it."""
        needs = [("job", "select"), ("job", "insert"), ("attempt", "select")]
        if worker:
            needs = [("job", "select"), ("job", "update"), ("attempt", "insert"), ("process", "select"), ("process", "update")]
        parameters = {
            "tables": [self._script.table(table) for table, _ in needs],
            "rights": [right for _, right in needs],
            "worker": worker,
        }
        return [row[0] for row in self._script.rows(connection, "check_access", parameters, prepare=False)]
