"""A process whose clock is wrong. What is due, late or dead is decided by the database's clock, which all processes share."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from steve import JobManager
from tests.conftest import until

DAY = 86_400

PROGRAM = """
import datetime, sys, time
right, wrong = time.time, float(sys.argv[3])
time.time = lambda: right() + wrong
time.time_ns = lambda: int(time.time() * 1e9)

class Wrong(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=wrong)

datetime.datetime = Wrong
from steve import JobManager, RetryPolicy, Snooze

def fails(job):
    if job.attempts == 1:
        raise RuntimeError("once")

snoozed = set()
def snoozes(job):
    if job.uid not in snoozed:
        snoozed.add(job.uid)
        raise Snooze(0.5)

def waits(job):
    sys.stdin.readline()

manager = JobManager(sys.argv[1], schema=sys.argv[2], retry=RetryPolicy(base=1), lease=8.0, heartbeat=0.3)
for handler in (fails, snoozes, waits):
    manager.set_handler(handler.__name__, handler)
with manager:
    for type in ("fails", "snoozes"):
        manager.create(type)
        manager.create_many([(type, None)] * 3)
    manager.create("waits")
    print("created", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("wrong", [-DAY, DAY], ids=["slow", "fast"])
def test_a_process_whose_clock_is_a_day_wrong_works_like_any_other(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, database_url: str, schema: str, wrong: int
) -> None:
    """It creates jobs, retries and snoozes. A process beside it, whose clock is right, does not take it for dead."""
    beside = make_manager(lease=8.0, heartbeat=0.3)
    beside.set_handler("other", print)
    beside.start()
    (before,) = conn.execute("select clock_timestamp()").fetchone()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, database_url, schema, str(wrong)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "created\n"
        until(lambda: len(beside.fetch_all("completed")) == 8)
        held_for = sql.SQL("select now() - claimed_at from {}.job where status = 'running'").format(sql.Identifier(schema))
        until(lambda: conn.execute(held_for).fetchall() > [(timedelta(seconds=8.0 + 2.0),)], timeout=60)
        process.communicate("go on\n", timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    jobs = beside.fetch_all()
    (after,) = conn.execute("select clock_timestamp()").fetchone()
    for job in jobs:
        assert before < job.created_at <= job.run_at <= job.claimed_at <= job.updated_at == job.completed_at < after
        attempts = beside.history(job)
        assert [attempt.status for attempt in attempts] == (["error", "success"] if job.type == "fails" else ["success"])
        if job.type == "fails":
            assert attempts[0].completed_at + timedelta(seconds=1) == job.run_at
    assert len(jobs) == 9
