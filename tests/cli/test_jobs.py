"""`jobs`, `why`, `failures`, `wait`: what they say, and what they do to jobs."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from steve import Job, JobManager
from tests.cli.conftest import Ran, Terminal, python
from tests.conftest import until


def fail(manager: JobManager, conn: psycopg.Connection, schema: str, number: int, type: str = "mail") -> list[Job]:
    """So many jobs that failed, each with an error of its own number."""
    jobs = manager.create_many([(type, {"n": n}) for n in range(number)])
    update = (
        f"update \"{schema}\".job set status = 'failed', completed_at = now(), attempts = 1, max_attempts = 1, "
        "error = 'OSError: no route to host ' || (payload->>'n') where type = %s"
    )
    conn.execute(update.encode(), [type])
    return jobs


def statuses(manager: JobManager, **filters: str) -> dict[str, int]:
    counted: dict[str, int] = {}
    for job in manager.fetch_all(limit=10_000, **filters):
        counted[str(job.status)] = counted.get(str(job.status), 0) + 1
    return counted


def test_a_job_is_created_as_the_arguments_say(steve: Callable[..., Ran], manager: JobManager, tmp_path: Path) -> None:
    (tmp_path / "payload.json").write_text('{"email": "ada"}')
    ran = steve(
        "jobs", "create", "mail", f"@{tmp_path}/payload.json", "--queue", "q", "--priority", -3, "--delay", "1h",
        "--max-attempts", 7, "--timeout", 5, "--unique", "k", "--tag", "tenant=7", "--tag", 'name="7"', "-o", "json",
    )  # fmt: skip
    (row,) = ran.data
    job = manager.find(row["uid"])
    assert job is not None
    assert (job.type, job.payload, job.queue, job.priority) == ("mail", {"email": "ada"}, "q", -3)
    assert (job.max_attempts, job.timeout, job.unique, job.tags) == (7, 5.0, "k", {"tenant": 7, "name": "7"})
    assert 3590 < (job.run_at - job.created_at).total_seconds() < 3610
    again = steve("jobs", "create", "mail", "--unique", "k", "-o", "json")
    assert again.data[0]["uid"] == row["uid"]
    assert "nothing was stored" in again.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("jobs",), 2, "COMMAND"),
        (("jobs", "create", "mail", "[1]"), 2, "must be a JSON object"),
        (("jobs", "create", "mail", "{sesame"), 2, "is no JSON"),
        (("jobs", "create", "mail", "@/no/such/file"), 2, "cannot be read"),
        (("jobs", "create", "mail", "--priority", "101"), 1, "priority"),
        (("jobs", "create", "mail", "--tag", "x"), 2, "NAME=VALUE"),
        (("jobs", "show", "7"), 2, "must be the uid of a job"),
        (("jobs", "list", "--created-after", "2030-01-01T00:00"), 2, "needs a time zone"),
        (("jobs", "list", "--created-after", "soon"), 2, "must be an age"),
        (("jobs", "list", "--limit", "0"), 2, "1 or more"),
        (("jobs", "retry"), 2, "give UIDs, or --all"),
        (("jobs", "retry", "--all"), 2, "at least one filter"),
        (("jobs", "retry", "--type", "x"), 2, "give UIDs, or --all"),
        (("jobs", "retry", "--all", "01900000-0000-7000-8000-000000000000"), 2, "give UIDs, or --all"),
        (("jobs", "delete", "01900000-0000-7000-8000-000000000000", "--limit", "3"), 2, "do not go together"),
        (("jobs", "retry", "--all", "--type", "x", "--rate", "0"), 2, "above 0"),
        (("queues", "pause"), 2, "say --all"),
        (("queues", "pause", "x", "--all"), 2, "say --all"),
        (("schedules", "pause", "x"), 3, "x"),
        (("check",), 2, "say what to check"),
        (("status", "--database-url", "postgresql://ada:sesame@localhost/x"), 2, "every user of this machine can read"),
        (("status", "--database-url", "host=/tmp password=sesame"), 2, "PGPASSWORD"),
        (("completion", "tcsh"), 2, "invalid choice"),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_are_named(
    words: tuple[str, ...], code: int, message: str, steve: Callable[..., Ran], manager: JobManager
) -> None:
    ran = steve(*words)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert "sesame" not in ran.err.replace("{sesame", "")


def test_secrets_are_shown_to_those_only_who_say_reveal(steve: Callable[..., Ran], manager: JobManager) -> None:
    job = manager.create("mail", {"password": "sesame"})
    assert "sesame" not in steve("jobs", "show", job.uid).out
    assert steve("jobs", "show", job.uid, "--reveal", "-o", "json").data["payload"] == {"password": "sesame"}


def test_a_list_has_pages_that_leave_nothing_out(steve: Callable[..., Ran], manager: JobManager) -> None:
    jobs = manager.create_many([("mail", None)] * 5)
    first = steve("jobs", "list", "--limit", 3, "-o", "json").data
    second = steve("jobs", "list", "--limit", 3, "--before", first[-1]["uid"], "-o", "json").data
    assert [row["uid"] for row in first + second] == [str(job.uid) for job in reversed(jobs)]


def test_the_filters_of_the_list_are_those_of_the_actions(
    steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    fail(manager, conn, schema, 20)
    fail(manager, conn, schema, 3, "other")
    filters = ["--error", "host 1", "--type", "mail", "--ended-after", "1h", "--created-before", "2100-01-01T00:00Z"]
    assert len(steve("jobs", "list", *filters, "-o", "json").data) == 11
    assert steve("jobs", "retry", "--all", *filters, "--dry-run", "-o", "json").data["done"] == 11
    assert statuses(manager) == {"failed": 23}
    assert steve("jobs", "retry", "--all", *filters, "--yes", "-o", "json").data == {"done": 11, "skipped": 0, "dry_run": False}
    assert statuses(manager) == {"failed": 12, "pending": 11}


def test_without_yes_and_without_a_terminal_a_bulk_action_changes_nothing(
    steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    fail(manager, conn, schema, 2)
    for verb in ("retry", "delete"):
        ran = steve("jobs", verb, "--all", "--type", "mail")
        assert (ran.code, ran.out) == (2, "")
        assert f"{verb} 2 jobs?" in ran.err
        assert "--yes" in ran.err
    assert statuses(manager) == {"failed": 2}


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, {}), ("n\n", 1, {"failed": 2}), ("", 1, {"failed": 2})])
def test_in_a_terminal_it_asks(
    answer: str, code: int, left: dict[str, int], steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection,
    schema: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    fail(manager, conn, schema, 2)
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", Terminal())
    assert steve("jobs", "delete", "--all", "--type", "mail").code == code
    assert statuses(manager) == left


def test_uids_are_taken_one_by_one_and_the_code_says_whether_all_were_done(
    steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    first, second = fail(manager, conn, schema, 2)
    pending = manager.create("mail")
    assert steve("jobs", "retry", first.uid).code == 0
    ran = steve("jobs", "retry", second.uid, pending.uid, "-o", "json")
    assert ran.code == 5
    assert [row["did"] for row in ran.data] == [True, False]
    assert steve("jobs", "retry", pending.uid).code == 1
    assert steve("jobs", "cancel", pending.uid, "--reason", "no").code == 0
    assert getattr(manager.find(pending), "error", None) == "Cancelled: no"


def test_run_now_makes_due_what_is_due_later(steve: Callable[..., Ran], manager: JobManager) -> None:
    jobs = manager.create_many([("mail", None)] * 3, delay=3600)
    now = manager.create("mail")
    assert steve("jobs", "run-now", jobs[0].uid).code == 0
    ran = steve("jobs", "run-now", "--all", "--type", "mail", "--yes", "-o", "json")
    assert ran.data["done"] == 2
    assert all(job.run_at < datetime.now(UTC) + timedelta(minutes=1) for job in manager.fetch_all())
    assert manager.find(now) == now


def test_changes_are_in_the_audit_under_the_name_of_the_user(
    steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    fail(manager, conn, schema, 2)
    steve("jobs", "retry", "--all", "--type", "mail", "--yes")
    rows = conn.execute(f'select actor, action, done from "{schema}".audit'.encode()).fetchall()
    assert [(action, done) for _, action, done in rows] == [("retry_all", 2)]
    assert "@" in rows[0][0]


def test_a_rate_makes_many_small_batches(
    steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    fail(manager, conn, schema, 30)
    seen: list[int] = []
    changed = manager.retry_all(type="mail", rate=100, progress=seen.append)
    assert changed.done == 30
    assert seen == [25, 30]
    for wrong in (0, -1, True, "x", float("nan")):
        with pytest.raises((TypeError, ValueError), match="rate must be"):
            manager.retry_all(type="mail", rate=wrong)  # type: ignore[arg-type]


def test_ctrl_c_in_the_middle_keeps_what_is_done_and_says_how_many(
    manager: JobManager, conn: psycopg.Connection, schema: str, database_url: str
) -> None:
    insert = (
        f'insert into "{schema}".job (type, status, completed_at, attempts, max_attempts) '
        "select 'mail', 'failed', now(), 1, 1 from generate_series(1, 20000)"
    )
    conn.execute(insert.encode())
    process = python(
        "-c",
        "import os, sys; os.environ['STEVE_DATABASE_URL'] = sys.argv[1]\n"
        "from steve.cli import main; sys.exit(main(sys.argv[2:]))",
        database_url, "jobs", "retry", "--all", "--type", "mail", "--yes", "--rate", "1000", "-o", "json", "--schema", schema,
        to_be_interrupted=True,
    )  # fmt: skip
    until(
        lambda: conn.execute(f"select from \"{schema}\".job where status = 'pending' limit 1".encode()).fetchone() is not None
    )
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    done = json.loads(out)["done"]
    assert 0 < done < 20_000
    assert f"{done:,} jobs were retried, the others were not touched" in err
    counted = dict(conn.execute(f'select status, count(*) from "{schema}".job group by status'.encode()).fetchall())
    assert counted == {"pending": done, "failed": 20_000 - done}


class Interrupting(Terminal):
    """A terminal on which the user presses Ctrl-C when the first progress shows."""

    def write(self, text: str) -> int:
        if "\r" in text and "retried" in text:
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


def test_ctrl_c_clears_the_line_of_progress_before_it_says_what_was_done(
    steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(manager, conn, schema, 30)
    terminal = Interrupting()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("sys.stdout", terminal)
    assert steve("jobs", "retry", "--all", "--type", "mail", "--yes", "--rate", "100", "-o", "jsonl").code == 130
    assert statuses(manager) == {"pending": 25, "failed": 5}
    _, said = terminal.getvalue().rsplit("\r\x1b[K", 1)
    assert said.splitlines() == [
        '{"done": 25, "skipped": 0, "dry_run": false}',
        "steve: interrupted: 25 jobs were retried, the others were not touched",
    ]


def test_why_names_the_command_that_does_what_the_remedy_says(
    steve: Callable[..., Ran], manager: JobManager, schema: str
) -> None:
    job = manager.create("mail", delay=3600)

    def suggested(job: Job) -> list[list[str]]:
        """The commands that `why` names for this job."""
        said = [line.partition(": steve ") for line in steve("why", job.uid).err.splitlines()]
        return [shlex.split(words) for _, named, words in said if named]

    place = f"--schema={schema}"
    assert suggested(job) == [["jobs", "run-now", str(job.uid), place]]
    manager.cancel(job)
    assert suggested(job) == [["jobs", "retry", str(job.uid), place]]
    waiting = manager.create("mail", queue="night mail")
    manager.pause(queue="night mail")
    manager.pause(queue="other")
    ((*words,),) = suggested(waiting)
    assert words == ["queues", "resume", place, "--", "night mail"]
    assert steve("queues", "resume", words[-1]).code == 0  # `steve` adds the schema at the end, which "--" would not allow
    manager.pause(queue="night mail", type="mail")
    assert suggested(waiting) == [["queues", "resume", "--type=mail", place, "--", "night mail"]]
    manager.resume(queue="night mail", type="mail")
    manager.pause()
    assert suggested(waiting) == [["queues", "resume", "--all", place]]


def test_failures_are_grouped_by_their_error(
    steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    fail(manager, conn, schema, 5)
    fail(manager, conn, schema, 2, "other")
    rows = steve("failures", "-o", "json").data
    assert [(row["type"], row["jobs"]) for row in rows] == [("mail", 5), ("other", 2)]
    assert steve("failures", "--since", "0s").code == 3
    assert steve("failures", "--type", "other", "-o", "json").data[0]["jobs"] == 2


def test_failures_name_the_command_that_runs_those_of_the_first_error_again(
    steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    fail(manager, conn, schema, 5)
    fail(manager, conn, schema, 2, "other")
    said = steve("failures", "--since", "1d", "--queue", "default").err
    words = shlex.split(said.splitlines()[-1].removeprefix("to run those with its text again: "))
    assert words[0] == "steve"
    assert words[-1] == "--dry-run"
    assert "--queue=default" in words
    assert [word for word in words if word.startswith("--ended-after=")]
    assert steve(*words[1:], "-o", "json").data["done"] == 5
    assert steve(*words[1:-1], "--yes", "-o", "json").data["done"] == 5


def test_failures_without_a_text_in_common_suggest_no_retry_which_would_take_all(
    steve: Callable[..., Ran], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    fail(manager, conn, schema, 2)
    conn.execute(f"update \"{schema}\".job set error = payload->>'n'".encode())
    said = steve("failures").err
    assert "jobs show" in said
    assert "retry" not in said


def test_wait_tells_how_the_jobs_ended(steve: Callable[..., Ran], manager: JobManager) -> None:
    manager.set_handler("good", lambda job: None)
    good, never = manager.create("good"), manager.create("never")
    manager.start(1)
    assert steve("wait", good.uid, "-o", "json").data[0]["status"] == "completed"
    ran = steve("wait", good.uid, never.uid, "--timeout", "0.2")
    assert ran.code == 4
    assert "not all have ended" in ran.err


def test_a_reader_that_goes_away_ends_it_quietly(manager: JobManager, database_url: str, schema: str) -> None:
    manager.create_many([("mail", {"n": n}) for n in range(3000)])
    command = [sys.executable, "-m", "steve", "jobs", "list", "--limit", "3000", "--schema", schema]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"STEVE_DATABASE_URL": database_url}
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), errors) == (141, b"")
