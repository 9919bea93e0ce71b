"""The demo, from the command line to the tables at its end; whatever happens it leaves nothing behind."""

import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from rich.console import Console

from steve import RetryPolicy, cli, demo
from steve.demo.tuning import Tuning
from tests.cli.conftest import python

# Files by name, and whether their jobs end well. The last three get no job.
FILES = {
    "latin.py": (b"# coding: latin-1\n# caf\xe9\n", True),
    "nonsense.py": (b"# coding: no-such-encoding\n", False),
    "utf8.txt": ("Füße zählen, drei Wörter\nmehr".encode(), True),
    "ascii.txt": (b"one two three\n" * 50_000, True),  # more than is read at a time
    "empty": (b"", True),
    "latin.txt": (b"caf\xe9 noir\n", False),
    "deep/er/cut-off.txt": ("ü".encode()[:1], False),
    "[bold]brackets.txt": (b"x", True),
    "image.png": (b"\x89PNG\r\n\0", None),
    "__pycache__/x.py": (b"", None),
    ".git/config": (b"", None),
}
BROKEN = [name for name, (_, ends_well) in FILES.items() if ends_well is False]

QUICK = Tuning(RetryPolicy(max_attempts=3, max_delay=0.1), closed_seconds=0.05, jobs_at_once=3, page=3, line_seconds=0.0)
"""The demo with short waits, a page for every three jobs, and a line for every look at the progress."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    for name, (content, _) in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "link").symlink_to(folder / "empty")
    return folder


@pytest.fixture
def sound_folder(folder: Path) -> Path:
    """Without the files that cannot be decoded."""
    for name in BROKEN:
        (folder / name).unlink()
    return folder


def exists(conn: psycopg.Connection, schema: str) -> bool:
    return conn.execute("select from pg_namespace where nspname = %s", [schema]).fetchone() is not None


def run(
    folder: Path,
    database_url: str,
    schema: str,
    *,
    workers: int = 4,
    terminal: bool = False,
    width: int = 200,
    tuning: Tuning = QUICK,
) -> str:
    """Runs the demo to its end; what it printed."""
    printed = StringIO()
    console = Console(file=printed, width=width, force_terminal=terminal, highlight=False)
    assert demo.run(folder, database_url, schema=schema, workers=workers, console=console, tuning=tuning) == 0
    return printed.getvalue()


def rows(printed: str) -> dict[str, list[str]]:
    """The table of jobs: what is before the figures -> jobs, attempts, retried."""
    pattern = r"^ +(python +\w+|text +\w+|all) +([\d,]+) +([\d,]+) +([\d,]+) +[\d.,]+ m?s +[\d.,]+ m?s *$"
    return {" ".join(label.split()): figures for label, *figures in re.findall(pattern, printed, re.MULTILINE)}


def progress_lines(printed: str) -> list[list[str]]:
    """Each line of progress: how many ended, are done, failed, wait for a retry."""
    pattern = r"^(\d) of 8: (\d) done, (\d) failed, (\d) retrying, [\d,]+ jobs/s$"
    return [list(figures) for figures in re.findall(pattern, printed, re.MULTILINE)]


def test_one_job_for_every_text_file_and_a_summary_from_the_database(
    folder: Path, database_url: str, schema: str, conn: psycopg.Connection
) -> None:
    printed = run(folder, database_url, schema)
    assert f"8 text files under {folder}" in printed
    assert "Left out: binary files (1); symbolic links, sockets, devices and the like (1)\n" in printed
    assert f"schema {schema}, 4 workers\n" in printed
    table = {label: [int(figure) for figure in figures] for label, figures in rows(printed).items()}
    assert {label: jobs for label, (jobs, _, _) in table.items()} == {
        "python completed": 1,
        "python failed": 1,
        "text completed": 4,
        "text failed": 2,
        "all": 8,
    }
    assert table["python failed"] == [1, 3, 1]
    assert table["text failed"] == [2, 6, 2]
    _, attempts, retried = table["all"]
    assert sum(figures[1] for figures in table.values()) == 2 * attempts
    assert sum(figures[2] for figures in table.values()) == 2 * retried
    assert 3 < retried <= 6, "two were done before the catalog closed, another was not"
    for label in ("python completed", "text completed"):
        jobs, attempts, retried = table[label]
        assert attempts == jobs + retried
    assert re.search(
        r"^8 jobs in \d+\.\d s, waits included: \d+ jobs/s, [1-8] in the busiest second\n\Z", printed, re.MULTILINE
    )
    assert not exists(conn, schema)


def test_the_jobs_that_failed_are_listed_with_their_errors(folder: Path, database_url: str, schema: str) -> None:
    (folder / "latin-too.txt").write_bytes(b"a longer text, caf\xe9 noir\n")
    for number in range(3):
        (folder / f"nonsense-{number}.py").write_bytes(b"# coding: no-such-encoding-%d\n" % number)
    printed = run(folder, database_url, schema)
    assert "7 failed, after 3 attempts each\n" in printed
    errors = printed.split("attempts each\n")[1].split("One job")[0].splitlines()
    lines = [line.strip() for line in errors if line.strip()]
    assert lines[:2] == [  # they differ only in where it was, so one stands for both
        "latin-too.txt, and 1 like it",
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position 18: invalid continuation byte",
    ]
    assert "deep/er/cut-off.txt" in lines
    assert "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xc3 in position 0: unexpected end of data" in lines
    assert [line for line in lines if line.startswith("SyntaxError: unknown encoding: no-such-encoding")]
    assert lines[10:] == ["1 more, for other reasons"], "five of them, two lines each, are enough"


@pytest.mark.parametrize("workers", [1, 4])
def test_the_life_of_a_job_that_found_the_catalog_closed_is_shown(
    sound_folder: Path, database_url: str, schema: str, workers: int
) -> None:
    printed = run(sound_folder, database_url, schema, workers=workers)
    life = printed.split("One job, attempt by attempt: ")[1]
    name, *_ = life.splitlines()
    assert (sound_folder / name.strip()).exists()
    attempts = re.findall(r"^ +(\d) +\+(\d+\.\d\d) s +[\d.]+ m?s +(\w+) +(.*?) *$", life, re.MULTILINE)
    assert [(number, status, error) for number, _, status, error in attempts] == [
        ("1", "error", "CatalogClosed: closed for 0.05 s"),
        ("2", "success", ""),
    ]
    assert float(attempts[0][1]) == 0
    assert float(attempts[1][1]) >= 0.1, "before the backoff had passed"


def test_where_no_job_fails_the_demo_adds_broken_files_and_says_so(sound_folder: Path, database_url: str, schema: str) -> None:
    printed = run(sound_folder, database_url, schema)
    assert "None of these jobs failed, so the demo adds 3 broken files of its own." in printed
    assert "8 of 8: 5 done, 3 failed, 0 retrying" in printed
    for name in ("unknown-encoding.py", "not-utf-8.txt", "cut-short.txt"):
        assert f"  {name} (made by the demo)\n" in re.sub(" +\n", "\n", printed)


def test_where_jobs_fail_the_demo_adds_nothing(folder: Path, database_url: str, schema: str) -> None:
    assert "made by the demo" not in run(folder, database_url, schema)


def test_names_with_brackets_are_not_taken_for_markup(tmp_path: Path, database_url: str, schema: str) -> None:
    (tmp_path / "[bold]brackets.txt").write_bytes(b"\xff")
    printed = run(tmp_path, database_url, schema)
    assert "  [bold]brackets.txt" in printed
    assert "One job, attempt by attempt: [bold]brackets.txt" in printed


def test_without_a_terminal_the_progress_is_plain_lines(folder: Path, database_url: str, schema: str) -> None:
    patient = replace(QUICK, retry=RetryPolicy(max_attempts=3, max_delay=1.0))
    printed = run(folder, database_url, schema, tuning=patient)
    lines = progress_lines(printed)
    assert lines[-1] == ["8", "5", "3", "0"]
    assert any(int(retrying) for *_, retrying in lines)
    assert "\x1b" not in printed


def test_without_a_terminal_there_is_a_line_at_the_end_however_rare_lines_are(
    folder: Path, database_url: str, schema: str
) -> None:
    printed = run(folder, database_url, schema, tuning=replace(QUICK, line_seconds=3600.0))
    assert progress_lines(printed) == [["8", "5", "3", "0"]]


def test_in_a_terminal_the_progress_is_a_panel_that_is_drawn_again(
    folder: Path, database_url: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    printed = run(folder, database_url, schema, terminal=True, width=90)
    assert "\x1b[?25l" in printed, "the cursor is hidden"
    assert printed.rindex("\x1b[?25h") > printed.rindex("\x1b[?25l"), "and shown again"
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed)
    assert len(re.findall("╭─.* 4 workers ─+╮", drawn)) > 1
    assert re.search("│ +no retries yet +│", drawn)
    assert re.search(r"│ +[━╸╺ ]+8 of 8 +\d+\.\d s +│", drawn)
    assert re.search(r"│ +5 done +3 failed +0 retrying +\d+ jobs/s +│", drawn)
    assert re.search(r"│ +\d+ retries  latest: .+: \w+: .+│", drawn)
    assert max(len(line) for line in drawn.splitlines()) <= 90


def test_a_dumb_terminal_gets_plain_lines(
    folder: Path, database_url: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    printed = run(folder, database_url, schema, terminal=True)
    assert "8 of 8: 5 done" in printed
    assert "╭" not in printed


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
    assert printed.endswith("Interrupted: the running jobs have ended, and nothing is left behind.\n")


def test_ctrl_c_while_files_are_looked_for_ends_it_cleanly_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "walk", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    assert cli.main(["demo", str(folder)]) == 130
    assert capsys.readouterr().out.startswith("Interrupted: ")


def test_ctrl_c_in_a_terminal_gives_the_cursor_back(folder: Path, home: Path) -> None:
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "steve", "demo", str(folder)]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=unmeasured | {"TERM": "xterm"}
    )
    os.close(theirs)
    printed = b""
    with process:
        while b" done" not in printed:
            printed += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        try:
            while chunk := os.read(ours, 4096):
                printed += chunk
        except OSError:  # so Linux says that the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 130
    assert printed.rindex(b"\x1b[?25h") > printed.rindex(b"\x1b[?25l")
    assert b"Traceback" not in printed
    assert b"Interrupted" in printed


def test_a_schema_that_is_there_is_left_alone(
    folder: Path, database_url: str, schema: str, conn: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    conn.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    assert cli.main(["demo", str(folder), "--database-url", database_url, "--schema", schema]) == 1
    assert f'schema "{schema}" is already there' in capsys.readouterr().err
    assert exists(conn, schema)


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("host=127.0.0.1 port=1 user=ada password=sesame", 2, "which every user of this machine can read"),
        ("host=127.0.0.1 port=1 user=ada", 1, "cannot connect to the database: .*127.0.0.1"),
        ("postgresql://ada:sesame@[::1", 1, "neither a URL nor a connection string"),
    ],
)
def test_a_database_that_is_not_there_is_reported_without_the_password(
    folder: Path, url: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", str(folder), "--database-url", url]) == code
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert "sesame" not in error


@pytest.mark.parametrize("workers", ["0", "1001"])
def test_a_number_of_workers_that_cannot_be_is_an_error_of_one_line(
    folder: Path, database_url: str, schema: str, conn: psycopg.Connection, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["demo", str(folder), "--database-url", database_url, "--schema", schema, "--workers", workers]
    assert cli.main(arguments) == 1
    printed = capsys.readouterr()
    assert re.fullmatch(r"steve: .*1000.*\n", printed.err)
    assert "0 of 0" not in printed.out
    assert not exists(conn, schema)


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
