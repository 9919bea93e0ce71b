"""The demo, from the command line to the tables at its end; whatever happens it leaves nothing behind."""

import hashlib
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import Job, JobManager, RetryPolicy, Status, cli, current_run, demo
from steve.demo.measure import HANDLERS, measure_text
from tests.cli.conftest import python
from tests.conftest import until

# Files by name, and how often each is tried.
FILES = {
    "latin.py": (b"# coding: latin-1\n# caf\xe9\n", 1),
    "nonsense.py": (b"# coding: no-such-encoding\n", 3),
    "utf8.txt": ("Füße zählen, drei Wörter\nmehr".encode(), 1),
    "ascii.txt": (b"one two three\n" * 50_000, 1),  # more than is read at a time
    "empty": (b"", 1),
    "image.png": (b"\x89PNG\r\n", 3),
    "deep/er/cut-off.txt": ("ü".encode()[:1], 3),
    "[bold]brackets.txt": (b"x", 1),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, (content, _) in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    return tmp_path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's retries without their waits, and a page for every three jobs."""
    monkeypatch.setattr(demo, "RETRY", RetryPolicy(max_attempts=3, backoff_strategy="none"))
    monkeypatch.setattr(demo, "AT_ONCE", 3)
    monkeypatch.setattr(demo.summary, "_PAGE", 3)
    monkeypatch.setenv("COLUMNS", "200")


def exists(conn: psycopg.Connection, schema: str) -> bool:
    return conn.execute("select from pg_namespace where nspname = %s", [schema]).fetchone() is not None


@pytest.mark.usefixtures("impatient")
def test_one_job_for_every_file_and_a_summary_from_the_database(
    folder: Path, database_url: str, schema: str, conn: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", str(folder), "--database-url", database_url, "--schema", schema]) == 0
    printed = capsys.readouterr().out
    assert f"8 files under {folder}" in printed
    assert "1 left out: symbolic links" in printed
    size = sum(len(content) for content, attempts in FILES.values() if attempts == 1)
    rows = [line.replace(",", "").split() for line in printed.splitlines()]
    assert ["python", "completed", "1", "1", "25", "2", "5"] in rows
    assert ["python", "failed", "1", "3", "0", "0", "0"] in rows
    assert ["binary", "failed", "1", "3", "0", "0", "0"] in rows
    assert ["text", "failed", "1", "3", "0", "0", "0"] in rows
    assert ["text", "completed", "4", "4", str(size - 25), "50003", "150006"] in rows
    assert ["all", "8", "14", str(size), "50005", "150011"] in rows
    assert "iso-8859-1" in printed
    assert "[bold]brackets.txt" in printed
    assert re.search(r"'utf-8' codec can't decode byte … in position …: invalid start byte", printed)
    assert "unexpected end of data" in printed
    assert "no-such-encoding" in printed
    assert len(re.findall(r"^ +\d +\+\d+\.\d\d +error", printed, re.MULTILINE)) == 3
    assert not exists(conn, schema)


def test_what_a_handler_returns_is_right(folder: Path, database_url: str, schema: str) -> None:
    with JobManager(database_url, handlers=HANDLERS, schema=schema) as manager:
        job = manager.create("text", {"path": str(folder / "ascii.txt")})
        until(lambda: manager.find(job).completed_at)
        content, _ = FILES["ascii.txt"]
        result = manager.find(job).result
    assert result.pop("milliseconds") > 0
    assert result == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": 700_000,
        "lines": 50_000,
        "words": 150_000,
        "encoding": "ascii",
    }


def test_a_manager_that_stops_does_not_wait_for_a_long_file(folder: Path, make_manager: Callable[..., JobManager]) -> None:
    def begins_late(job: Job) -> Any:
        begun.set()
        current_run().wait(60)
        return measure_text(job)

    begun = Event()
    manager = make_manager(handlers={"text": begins_late})
    manager.start(1)
    job = manager.create("text", {"path": str(folder / "ascii.txt")})
    assert begun.wait(10)
    assert manager.stop(timeout=10).complete
    stored = manager.find(job)
    assert (stored.status, stored.attempts) == (Status.PENDING, 0)


def test_with_an_embedded_server_nothing_is_left_behind(folder: Path, home: Path) -> None:
    process = python("-m", "steve", "demo", str(folder), "--workers", "1")
    printed, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert "PostgreSQL 18" in printed
    assert "embedded, 1 worker\n" in printed
    assert "8 of 8: 5 done, 3 failed, 0 retrying" in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_it_cleanly(folder: Path, home: Path, number: signal.Signals) -> None:
    with python("-m", "steve", "demo", str(folder), to_be_interrupted=True) as process:
        while "workers" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(number)
        process.send_signal(number)  # people press it twice
        printed, errors = process.communicate()
    assert (process.returncode, errors) == (130, "")
    assert "Interrupted" in printed


def test_a_schema_that_is_there_is_left_alone(
    folder: Path, database_url: str, schema: str, conn: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    conn.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    assert cli.main(["demo", str(folder), "--database-url", database_url, "--schema", schema]) == 1
    assert f'schema "{schema}" is already there' in capsys.readouterr().err
    assert exists(conn, schema)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("host=127.0.0.1 port=1 user=ada password=sesame", "cannot connect to the database: .*127.0.0.1"),
        ("postgresql://ada:sesame@[::1", "neither a URL nor a connection string"),
    ],
)
def test_a_database_that_is_not_there_is_reported_without_the_password(
    folder: Path, url: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", str(folder), "--database-url", url]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert "sesame" not in error


@pytest.mark.usefixtures("impatient")
def test_a_schema_name_that_cannot_be_is_an_error(folder: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", str(folder), "--database-url", database_url, "--schema", "pg_mine"]) == 1
    assert "pg_mine" in capsys.readouterr().err


def test_without_rich_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name.startswith(("rich", "steve.demo"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("steve.demo")
    monkeypatch.setitem(sys.modules, "rich", None)
    assert cli.main(["demo"]) == 1
    assert "pip install 'steve-jobs[demo]'" in capsys.readouterr().err
