"""The handler of jobs that are done exactly once: it writes a row into the table `effect`, and completes its job with it.

It uses a connection of its own or one of its manager's pool, by chance. A job whose payload names a step (`at`) stops there on
its first run: it notes that in the ledger, and goes on when the file `go-K` appears, or is killed there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from steve import Job, current_run

from .ledger import Ledger
from .options import WorkerOptions

ONCE = "once"
"""What the payload's `do` says."""

STEPS = ("begun", "written", "completed", "committing", "committed")
"""Before the first statement, between the statements, after the COMMIT was sent and before its reply, and after it."""

TABLE = "create table {schema}.effect (job uuid not null, run text not null)"


def do_once(options: WorkerOptions, ledger: Ledger, job: Job) -> Any:
    run = uuid4().hex
    said = {"k": job.payload["k"], "attempt": job.attempts, "run": run, "pid": os.getpid()}
    ledger.note("run_start", **said)
    at = job.payload.get("at") if job.started_at is None else None

    def reach(step: str) -> None:
        if step == at:
            ledger.note("reached", step=step, **said)
            go_on = Path(options.ledger) / f"go-{job.payload['k']}"
            while not go_on.exists():
                time.sleep(0.005)

    def write(connection: psycopg.Connection[Any]) -> None:
        connection.execute(f"insert into {options.schema}.effect values (%s, %s)".encode(), [job.uid, run])
        time.sleep(job.payload["ms"] / 1000)
        reach("written")
        current_run().complete({"by": run}, connection=connection)
        reach("completed")

    def finish() -> Any:
        if job.attempts - job.crashes <= job.payload["raises"]:
            raise ValueError("its payload says so")
        return {"by": run}

    try:
        reach("begun")
        if int(run, 16) % 2 and at != "committing":
            with current_run().transaction() as connection:
                write(connection)
                result = finish()
        else:
            with psycopg.connect(options.conninfo) as connection:
                write(connection)
                result = finish()
                if at == "committing":
                    connection.pgconn.send_query(b"commit")
                    connection.pgconn.flush()
                    reach("committing")
                    while (answer := connection.pgconn.get_result()) is not None:
                        assert answer.error_message == b"", answer.error_message
        reach("committed")
    except BaseException:
        ledger.note("run_end", ok=False, **said)
        raise
    ledger.note("run_end", ok=True, **said)
    return result
