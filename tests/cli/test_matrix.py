"""Each command in each form of output: where there is nothing, and where every name and text is hostile."""

import csv
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest

from steve import Job, JobManager
from tests.cli.conftest import HOSTILE, Ran

NOBODY = "01900000-0000-7000-8000-000000000000"
FORMS = ("table", "json", "jsonl", "csv")
EMPTY: dict[tuple[str, ...], int] = {
    ("status",): 0,
    ("jobs", "list"): 3,
    ("jobs", "show", NOBODY): 3,
    ("jobs", "logs", NOBODY): 3,
    ("jobs", "tail", NOBODY): 3,
    ("jobs", "retry", NOBODY): 3,
    ("jobs", "cancel", NOBODY): 3,
    ("jobs", "run-now", NOBODY): 3,
    ("jobs", "delete", NOBODY): 3,
    ("jobs", "retry", "--all", "--type", "x"): 3,
    ("jobs", "cancel", "--all", "--type", "x", "--yes"): 3,
    ("jobs", "run-now", "--all", "--type", "x", "--yes"): 3,
    ("jobs", "delete", "--all", "--type", "x", "--dry-run"): 3,
    ("why", NOBODY): 3,
    ("failures",): 3,
    ("queues",): 3,
    ("queues", "list"): 3,
    ("queues", "paused"): 3,
    ("queues", "resume", "x"): 3,
    ("processes",): 3,
    ("schedules",): 3,
    ("schedules", "next", "x"): 3,
    ("schedules", "list"): 3,
    ("check", "--max-lag", "1h", "--max-failed", "0", "--unserved"): 0,
    ("check", "--min-processes", "1"): 4,
    ("prune", "--older-than", "1d"): 0,
}
"""The commands, and how they end where there is nothing."""


def parsed(ran: Ran, form: str) -> list[Any]:
    """The rows, if stdout is pure."""
    if form == "json":
        found = json.loads(ran.out)
        return found if isinstance(found, list) else [found]
    if form == "jsonl":
        return [json.loads(line) for line in ran.lines]
    if form == "csv":
        csv.field_size_limit(10_000_000)
        rows = list(csv.DictReader(StringIO(ran.out)))
        assert len(ran.out.split("\n")) == len(rows) + 2, "one line a row"
        assert all(None not in row and None not in row.values() for row in rows)
        return rows
    return ran.lines


def assert_harmless(text: str) -> None:
    assert all(line.isprintable() for line in text.split("\n")), text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("words", EMPTY, ids=" ".join)
def test_where_there_is_nothing_the_output_is_pure_and_the_exit_code_says_so(
    words: tuple[str, ...], form: str, manager: JobManager, steve: Callable[..., Ran]
) -> None:
    ran = steve(*words, "--output", form)
    assert ran.code == EMPTY[words], ran
    if form != "table" and not (form == "csv" and words[1:2] == ("show",)):
        parsed(ran, form)
    if ran.code == 3:
        assert ran.err or words[0] == "why" or words[1:2] == ("run-now",) or NOBODY in words


@pytest.fixture
def hostile(manager: JobManager, conn: psycopg.Connection, schema: str) -> dict[str, str]:
    """Jobs that failed and have logged, one that waits, schedules, a pause and a process, all with hostile names. Plain
    SQL gave them the names that steve refuses."""

    def handler(job: Job) -> None:
        logging.getLogger(f"x{HOSTILE}").warning("%s", HOSTILE)
        raise RuntimeError(HOSTILE * job.payload["times"])

    manager.set_handler("evil", handler, capture_logs="INFO")
    small = manager.create("evil", {"times": 1, HOSTILE: [HOSTILE]}, max_attempts=1)
    big = manager.create("evil", {"times": 40_000, "x": "y" * 900_000}, max_attempts=1, metadata={"x": HOSTILE})
    manager.start(1)
    assert {job.status for job in manager.wait_all([small, big], 60)} == {"failed"}
    manager.stop()
    waiting = manager.create("evil", {"times": 1}, delay=3600, unique="k")
    for name in ("nightly", "evil"):
        manager.set_schedule(name, None, "evil", every=timedelta(hours=1))
    manager.pause("evil")
    info = json.dumps({"types": [HOSTILE], "problems": [HOSTILE]})

    def execute(statement: str, *values: object) -> None:
        assert conn.execute(statement.replace("steve.", f'"{schema}".').encode(), values).rowcount

    execute("update steve.job set type = %s, queue = %s, tags = %s, unique_key = unique_key || %s",
            HOSTILE, HOSTILE, json.dumps({HOSTILE: HOSTILE}), HOSTILE)  # fmt: skip
    execute("update steve.schedule set name = %s where name = 'evil'", HOSTILE)
    execute("update steve.pause set queue = %s, reason = %s, by = %s", HOSTILE, HOSTILE, HOSTILE)
    execute("insert into steve.process (id, name, version, info) values (7, %s, %s, %s)", HOSTILE, HOSTILE, info)
    execute("update steve.stat set queue = %s, type = %s", HOSTILE, HOSTILE)
    return {"small": str(small.uid), "big": str(big.uid), "waiting": str(waiting.uid)}


FULL: dict[tuple[str, ...], int] = {
    ("status",): 0,
    ("jobs", "list"): 0,
    ("jobs", "list", "--status", "failed", "--error", "evil"): 0,
    ("jobs", "show", "small", "--reveal"): 0,
    ("jobs", "show", "big"): 0,
    ("jobs", "logs", "small"): 0,
    ("jobs", "tail", "small"): 0,
    ("jobs", "retry", "waiting"): 1,
    ("jobs", "retry", "small", "waiting"): 5,
    ("jobs", "cancel", "waiting", "--reason", HOSTILE): 0,
    ("jobs", "run-now", "waiting"): 0,
    ("jobs", "delete", "small", NOBODY): 5,
    ("jobs", "create", "x", '{"a": 1}', "--tag", f"x={HOSTILE}"): 0,
    ("jobs", "create", HOSTILE): 1,
    ("jobs", "retry", "--all", "--status", "failed", "--yes"): 0,
    ("jobs", "cancel", "--all", "--status", "pending", "--yes"): 0,
    ("jobs", "run-now", "--all", "--status", "pending", "--yes"): 0,
    ("jobs", "delete", "--all", "--error", HOSTILE, "--yes"): 0,
    ("why", "small"): 0,
    ("why", "waiting"): 0,
    ("failures", "--since", "1h"): 0,
    ("queues",): 0,
    ("queues", "paused"): 0,
    ("queues", "pause", "x", "--reason", HOSTILE): 0,
    ("queues", "resume", HOSTILE): 1,
    ("processes",): 0,
    ("schedules",): 0,
    ("schedules", "next", HOSTILE): 0,
    ("schedules", "pause", "nightly"): 0,
    ("schedules", "resume", HOSTILE): 1,
    ("schedules", "run-now", "nightly"): 0,
    ("wait", "small", "big"): 4,
    ("check", "--max-lag", "0s", "--unserved"): 4,
    ("check", "--min-processes", "1"): 4,
    ("prune", "--older-than", "0s"): 0,
}


@pytest.mark.parametrize("words", FULL, ids=lambda words: " ".join(words).encode("unicode_escape").decode()[:60])
def test_hostile_names_and_texts_are_printed_escaped_one_line_a_row(
    words: tuple[str, ...], hostile: dict[str, str], steve: Callable[..., Ran], manager: JobManager
) -> None:
    changes = any(word in ("retry", "cancel", "run-now", "delete", "create", "pause", "resume", "prune") for word in words)
    rows = {}
    for form in FORMS[:1] if changes else FORMS:
        ran = steve(*(hostile.get(word, word) for word in words), "--output", form)
        assert ran.code == FULL[words], ran
        assert_harmless(ran.out)
        assert_harmless(ran.err)
        rows[form] = parsed(ran, form)
        assert rows[form] or ran.code == 1, ran
    if not changes:
        assert len(rows["jsonl"]) == len(rows["json"])
