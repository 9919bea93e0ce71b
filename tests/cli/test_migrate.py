"""`python -m steve migrate`, and what every command has in common."""

import subprocess
import sys
from functools import partial

import psycopg
import pytest

from steve import JobManager, __version__
from steve.cli import main


def tables(conn: psycopg.Connection, schema: str) -> set[str]:
    rows = conn.execute("select tablename from pg_tables where schemaname = %s", [schema])
    return {name for (name,) in rows}


def test_it_makes_the_tables_and_says_by_which_migrations(
    database_url: str, schema: str, conn: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "--database-url", database_url, "--schema", schema]) == 0
    names = capsys.readouterr().out.split()
    assert names
    assert names == sorted(names)
    assert names[0].startswith("0001")
    assert "job" in tables(conn, schema)
    JobManager(database_url, schema=schema).create("a type")

    assert main(["migrate", "--database-url", database_url, "--schema", schema]) == 0
    assert capsys.readouterr().out == "-- nothing to do\n"


def test_a_dry_run_prints_sql_that_does_the_same_and_changes_nothing(
    database_url: str, schema: str, conn: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "--database-url", database_url, "--schema", schema, "--dry-run", "--contract"]) == 0
    printed = capsys.readouterr().out
    assert "create table" in printed
    assert tables(conn, schema) == set()

    conn.execute(printed.encode())
    assert main(["migrate", "--database-url", database_url, "--schema", schema, "--contract"]) == 0
    assert capsys.readouterr().out == "-- nothing to do\n"


def test_the_database_comes_from_the_environment(
    database_url: str, schema: str, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEVE_DATABASE_URL", database_url)
    assert main(["migrate", "--schema", schema]) == 0
    assert "job" in tables(conn, schema)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["migrate", "--schema", "pg_mine"], "pg_"),
        (["migrate", "--schema", ""], "schema"),
        (["migrate", "--database-url", "postgresql://ada:sesame@[::1"], "conninfo"),
        (["migrate", "--database-url", "host=127.0.0.1 port=1 user=ada"], "127.0.0.1"),
        (["demo", "/no/such/folder"], "/no/such/folder"),
    ],
)
def test_an_error_is_one_line_on_stderr_without_a_password(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve.JobManager", partial(JobManager, create_timeout=0.5))
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("steve: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert "sesame" not in printed.err


def test_python_dash_m_steve_is_the_command_line() -> None:
    ended = subprocess.run([sys.executable, "-m", "steve", "--version"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"steve {__version__}\n", "")


def test_without_a_command_it_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err
