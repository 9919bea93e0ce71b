"""`status`, `queues`, `processes`, `check`, `schedules`: the figures are right, and pauses and schedules change as asked."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from threading import Event

import psycopg
import pytest

from steve import JobManager
from tests.cli.conftest import Ran
from tests.conftest import until


def test_the_status_counts_jobs_workers_and_dead_processes(
    steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    manager.set_handler("mail", lambda job: None)
    manager.start("mail:2;*:1")
    manager.wait_all(manager.create_many([("mail", None)] * 3, queue="mail"), 60)
    manager.create("nobody")
    insert = (
        f"insert into \"{schema}\".process (id, name, version, heartbeat_at) values (7, 'x:1', '0', now() - interval '1 day')"
    )
    conn.execute(insert.encode())
    until(lambda: [(row["workers"], row["busy"]) for row in steve("processes", "-o", "json").data] == [(3, 0), (0, 0)])
    row = steve("status", "-o", "json").data
    assert (row["pending"], row["running"], row["processes"], row["dead_processes"], row["workers"]) == (1, 0, 1, 1, 3)
    assert [lane["type"] for lane in row["lanes"] if lane["pending"]] == ["nobody"]
    text = steve("status").out
    assert "1 pending, 0 running, oldest due" in text
    assert "1 process, 0 of 3 workers busy, 1 dead" in text
    manager.stop()  # writes what it has counted
    assert steve("status", "-o", "json").data["completed"] == 3
    assert steve("queues", "-o", "json").data[1]["completed"] == 3


def test_a_handler_that_is_stuck_keeps_no_worker_busy(
    steve: Callable[..., Ran], make_manager: Callable[..., JobManager]
) -> None:
    end = Event()
    manager = make_manager(heartbeat=0.1, stuck_after=0.05)
    manager.set_handler("stuck", lambda job: end.wait(60), timeout=0.05)
    manager.migrate()
    manager.create("stuck", max_attempts=1)  # a second attempt would keep the worker in its place busy for a moment
    try:
        manager.start(1)
        until(lambda: [row["stuck"] for row in steve("processes", "-o", "json").data if row["stuck"]])
        row = steve("status", "-o", "json").data
    finally:
        end.set()
    assert (row["busy"], row["workers"]) == (0, 1)
    assert [problem for problem in row["problems"] if "stuck" in problem]


def test_a_pause_is_made_shown_and_ended(steve: Callable[..., Ran], manager: JobManager) -> None:
    manager.create("mail", queue="mail")
    assert steve("queues", "pause", "mail", "--for", "30m", "--reason", "wrong template").code == 0
    (pause,) = manager.paused()
    assert pause.until is not None
    assert 1790 < (pause.until - pause.since).total_seconds() < 1810
    assert pause.by is not None
    (row,) = steve("queues", "-o", "json").data
    assert (row["paused"], row["reason"]) == (True, "wrong template")
    assert "paused: queue mail (wrong template)" in steve("status").out
    assert steve("queues", "resume", "mail").code == 0
    assert steve("queues", "resume", "mail").code == 3
    assert steve("queues", "pause", "--all").code == 0
    assert steve("queues", "-o", "json").data[0]["paused"]
    assert manager.paused()[0].queue is None
    assert steve("queues", "pause", "x", "--for", "1m", "--until", "2100-01-01T00:00Z").code == 2


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--max-lag", "1h"), 0, "ok"),
        (("--max-lag", "0s"), 4, "a job has been due for"),
        (("--min-processes", "1"), 4, "processes that are well: 0, fewer than 1"),
        (("--min-processes", "0"), 0, "ok"),
        (("--unserved",), 4, "no process serves type mail in queue default, with 1 jobs pending"),
        (("--unserved", "--queue", "other"), 0, "ok"),
        (("--max-failed", "0"), 0, "ok"),
    ],
)
def test_a_check_is_one_line_and_its_code_says_whether_all_is_well(
    words: tuple[str, ...], code: int, text: str, steve: Callable[..., Ran], manager: JobManager
) -> None:
    manager.create("mail")
    ran = steve("check", *words)
    assert (ran.code, len(ran.lines), ran.err) == (code, 1, "")
    assert text in ran.out
    assert steve("check", *words, "-o", "json").data["ok"] is (code == 0)


def test_a_schedule_is_paused_resumed_run_and_its_ticks_are_told(steve: Callable[..., Ran], manager: JobManager) -> None:
    manager.set_schedule("nightly", None, "report", every=timedelta(hours=1), timezone="Europe/Berlin")
    assert steve("schedules", "pause", "nightly").code == 0
    assert manager.schedules()[0].paused
    assert steve("schedules", "resume", "nightly").code == 0
    assert not manager.schedules()[0].paused
    (job,) = steve("schedules", "run-now", "nightly", "-o", "json").data
    assert job["type"] == "report"
    ticks = [
        datetime.fromisoformat(row["at"]) for row in steve("schedules", "next", "nightly", "--count", 3, "-o", "json").data
    ]
    assert [later - tick for tick, later in pairwise(ticks)] == [timedelta(hours=1)] * 2
    assert steve("schedules", "run-now", "nobody").code == 3


def test_migrate_check_tells_whether_migrations_are_lacking(steve: Callable[..., Ran]) -> None:
    assert steve("migrate", "--check").code == 4
    assert steve("migrate").code == 0
    assert steve("migrate", "--check").code == 0


def test_watching_goes_on_until_ctrl_c(manager: JobManager, database_url: str, schema: str) -> None:
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-m", "steve", "status", "--watch", "--interval", "1s", "-o", "jsonl", "--schema", schema]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=unmeasured | {"STEVE_DATABASE_URL": database_url},
    ) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())["at"] for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert seen[0] < seen[1]
    assert (process.returncode, errors) == (130, "steve: interrupted\n")
