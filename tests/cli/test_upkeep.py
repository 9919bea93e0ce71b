"""`python -m steve prune` and `python -m steve grants`: what a cron job and the owner of a database call."""

from datetime import timedelta

import psycopg
import pytest

from steve import JobManager, grants
from steve.cli import main


@pytest.mark.parametrize(
    ("age", "left"), [("30d", 4), ("29d", 3), ("48h", 2), ("90m", 1), ("5400s", 1), ("0s", 0), ("999999999d", 4)]
)
def test_prune_deletes_what_ended_so_long_ago_and_says_how_many(
    age: str, left: int, manager: JobManager, database_url: str, conn: psycopg.Connection, schema: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    jobs = manager.create_many([("a", None)] * 4)
    for job, ended in zip(jobs, (timedelta(days=29), timedelta(days=2), timedelta(hours=2), timedelta(0)), strict=True):
        update = f"update {schema}.job set status = 'failed', completed_at = now() - %s where uid = %s"
        conn.execute(update.encode(), [ended, job.uid])
    command = ["prune", "--database-url", database_url, "--schema", schema, "--older-than", age]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{4 - left} jobs deleted\n"
    assert len(manager.fetch_all()) == left


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1.5d", "30 d", "1w", "30D", "", "9999999999d", "1d12h", "٣d"])
def test_what_is_no_age_is_refused(age: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prune", "--database-url", "host=127.0.0.1 port=1", f"--older-than={age}"])
    assert ended.value.code == 2
    assert "must be a number and d, h, m or s, such as 30d or 12h" in capsys.readouterr().err


def test_nothing_is_pruned_without_saying_how_old_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prune", "--database-url", "host=127.0.0.1 port=1"])
    assert "--older-than" in capsys.readouterr().err


def test_where_there_are_no_tables_the_error_says_so(
    database_url: str, schema: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prune", "--database-url", database_url, "--schema", schema, "--older-than", "1d"]) == 1
    assert "is missing" in capsys.readouterr().err


def test_grants_prints_what_the_function_returns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grants", "--schema", "shop", "--producer", 'w"eb', "--worker", "jobs"]) == 0
    assert capsys.readouterr().out == grants("shop", producer='w"eb', worker="jobs")
    assert main(["grants", "--worker", "jobs", "--unique"]) == 0
    assert capsys.readouterr().out == grants(worker="jobs", unique=True)
    assert main(["grants"]) == 1
    assert capsys.readouterr().err == "steve: name at least one role: producer=, worker=, reader= or completer=\n"
