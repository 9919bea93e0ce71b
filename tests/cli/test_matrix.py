"""Each command in each form of output: where there is nothing, and where every name and text is hostile."""

import csv
import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest

from steve import JobManager
from tests.cli.conftest import HOSTILE, Ran
from tests.conftest import until

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
    """A failed job that has logged, one that waits, a schedule, a pause and a process: all with hostile names."""

    def handler(job: Any) -> None:
        import logging

        logging.getLogger(f"x{HOSTILE}").warning("%s", HOSTILE)
        raise RuntimeError(HOSTILE * (1 if job.payload.get("small") else 30_000))

    manager.set_handler(HOSTILE, handler, capture_logs="INFO")
    tags = {HOSTILE[:20]: HOSTILE}
    failed = manager.create(HOSTILE, {"small": HOSTILE, HOSTILE: [HOSTILE]}, queue=HOSTILE, tags=tags, max_attempts=1)
    big = manager.create(HOSTILE, {}, queue=HOSTILE, max_attempts=1, metadata={"x": HOSTILE})
    manager.start(1)
    until(lambda: {job.status for job in manager.wait_all([failed, big])} == {"failed"})
    manager.stop()
    waiting = manager.create(HOSTILE, queue=HOSTILE, delay=3600, unique=HOSTILE)
    manager.set_schedule(HOSTILE, None, HOSTILE, every=timedelta(hours=1), queue=HOSTILE)
    with manager.acting_as(HOSTILE):
        manager.pause(HOSTILE, reason=HOSTILE)
    info = {"v": 1, "types": [HOSTILE], "problems": [HOSTILE]}
    conn.execute(
        f'insert into "{schema}".process (id, name, version, info) values (7, %s, %s, %s)'.encode(),
        [HOSTILE.replace("\x00", ""), HOSTILE, json.dumps(info)],
    )
    return {"failed": str(failed.uid), "big": str(big.uid), "waiting": str(waiting.uid)}


FULL: dict[tuple[str, ...], int] = {
    ("status",): 0,
    ("jobs", "list"): 0,
    ("jobs", "list", "--type", HOSTILE, "--error", "evil"): 0,
    ("jobs", "show", "failed", "--reveal"): 0,
    ("jobs", "show", "big"): 0,
    ("jobs", "logs", "failed"): 0,
    ("jobs", "tail", "failed"): 0,
    ("jobs", "retry", "waiting"): 1,
    ("jobs", "retry", "failed", "waiting"): 5,
    ("jobs", "cancel", "waiting", "--reason", HOSTILE): 0,
    ("jobs", "run-now", "waiting"): 0,
    ("jobs", "delete", "failed", NOBODY): 5,
    ("jobs", "create", HOSTILE, '{"a": 1}', "--queue", HOSTILE): 0,
    ("jobs", "retry", "--all", "--type", HOSTILE, "--yes"): 0,
    ("jobs", "cancel", "--all", "--queue", HOSTILE, "--yes"): 0,
    ("jobs", "run-now", "--all", "--queue", HOSTILE, "--yes"): 0,
    ("jobs", "delete", "--all", "--type", HOSTILE, "--yes"): 0,
    ("why", "failed"): 0,
    ("why", "waiting"): 0,
    ("failures", "--since", "1h"): 0,
    ("queues",): 0,
    ("queues", "paused"): 0,
    ("queues", "pause", HOSTILE, "--reason", HOSTILE): 0,
    ("queues", "resume", HOSTILE): 0,
    ("processes",): 0,
    ("schedules",): 0,
    ("schedules", "next", HOSTILE): 0,
    ("schedules", "pause", HOSTILE): 0,
    ("schedules", "resume", HOSTILE): 0,
    ("schedules", "run-now", HOSTILE): 0,
    ("wait", "failed", "big"): 4,
    ("check", "--max-failed", "1"): 4,
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
        assert rows[form], ran
    if not changes:
        assert len(rows["jsonl"]) == len(rows["json"])
