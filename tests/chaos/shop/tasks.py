"""The task of the project. process.py gives it the ledger."""

from __future__ import annotations

import os
import time
from uuid import uuid4

from django.db import connection
from django.tasks import TaskContext, task

from tests.chaos.ledger import Ledger

ledger: Ledger | None = None
"""None: this process runs no tasks."""


@task(takes_context=True)
def ship(context: TaskContext, k: str, ms: float) -> dict[str, str]:
    assert ledger is not None
    run = uuid4().hex
    said = {"k": k, "attempt": context.attempt, "run": run, "pid": os.getpid()}
    ledger.note("run_start", **said)
    with connection.cursor() as cursor:
        cursor.execute("select pg_sleep(%s)", [ms / 2000])
    time.sleep(ms / 2000)
    ledger.note("run_end", ok=True, **said)
    return {"by": run}
