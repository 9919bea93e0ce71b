"""README.md is true: its blocks run as they stand, and its tables, commands, names and links are those of the code.

How a python block runs. The blocks under one heading share a namespace, in which stand:

- what the first page defines: `manager` (not started, its tables made), `welcome`, `Job`, `JobManager`;
- the functions that belong to the reader's own program (`send_mail` and the like), which write down their calls.

In its text `postgresql://localhost/shop` becomes the test's database, and every JobManager gets the test's schema. A block that
begins with the name of a file (`# shop/jobs.py`) is no block of a namespace but that file, in a project of the test's, run by
processes of its own.
"""

import inspect
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import steve
from steve import (
    Attempt,
    Health,
    InvalidJob,
    Job,
    JobManager,
    RetryPolicy,
    Snooze,
    Status,
    SteveError,
    StopReport,
    current_run,
    grants,
)
from tests.conftest import until

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SHOP = "postgresql://localhost/shop"
FIRST_PAGE = "steve"
"""The heading of the first page: the title."""


# -- reading the page ------------------------------------------------------------------------------------------------------


class Block(NamedTuple):
    section: str
    """The heading above it."""
    language: str
    text: str
    line: int
    """Of README.md, counted from 0."""

    @property
    def file(self) -> str | None:
        """The name of the file that it is, if it is one."""
        match = re.match(r"# (\S+\.py)\n", self.text)
        return match.group(1) if match and self.language == "python" else None


def sections() -> dict[str, list[str]]:
    """The page's lines by the heading above them; a `#` in a code block is no heading."""
    found: dict[str, list[str]] = {}
    title, code = "", False
    for line in README.splitlines():
        code ^= line.startswith("```")
        if not code and (heading := re.match(r"#{1,3} (.*)", line)):
            title = heading.group(1)
            assert title not in found, "two headings of one name"
        found.setdefault(title, []).append(line)
    return found


def find_blocks() -> list[Block]:
    blocks: list[Block] = []
    line = 0
    for title, lines in sections().items():
        text = "\n".join(lines) + "\n"
        blocks += [
            Block(title, match.group(1), match.group(2), line + text[: match.start(2)].count("\n"))
            for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        ]
        line += len(lines)
    return blocks


SECTIONS = sections()
BLOCKS = find_blocks()


def blocks_of(section: str, language: str = "python") -> list[Block]:
    found = [block for block in BLOCKS if (block.section, block.language) == (section, language)]
    assert found, f"README.md has no {language} under {section!r}"
    return found


def table_of(section: str, first: str) -> list[list[str]]:
    """The rows of the table under that heading whose first column is called `first`, each a list of its cells."""
    rows: list[list[str]] = []
    within = False
    for line in SECTIONS[section]:
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and within and not set("".join(cells)) <= {"-"}:
            rows.append(cells)
        within = bool(cells) and (within or cells[0] == first)
    assert rows, f"README.md has no table {first!r} under {section!r}"
    return rows


# -- somebody who types what it says ---------------------------------------------------------------------------------------


class Reader:
    """Types the blocks of a section into a Python of theirs, with a program of their own around it."""

    def __init__(self, database: str, schema: str, folder: Path) -> None:
        self.schema = schema
        self.folder = folder
        self.url = url_of(database, schema)
        self.mails: list[tuple[str, str]] = []
        self.pages: list[str] = []
        self.rows: list[tuple[Any, int, str]] = []
        self.fetched: list[str] | None = ["one", "two", "three"]
        self.namespace: dict[str, Any] = {
            "__name__": "readme",
            "send_mail": lambda address, text: self.mails.append((address, text)),
            "page_somebody": self.pages.append,
            "fetch_rows": lambda url: self.fetched,
            "store_row": lambda uid, number, row: self.rows.append((uid, number, row)),
        }

    def adapted(self, text: str) -> str:
        """The text with the test's database and schema in it."""
        text = text.replace(SHOP.partition(":")[2], self.url.partition(":")[2])
        return re.sub(r'JobManager\(("postgresql:[^"]*")', rf'JobManager(\1, schema="{self.schema}"', text)

    def execute(self, text: str, line: int = 0) -> None:
        source = "\n" * line + self.adapted(text)  # so that a traceback names the line of README.md
        exec(compile(source, "README.md", "exec", dont_inherit=True), self.namespace)

    def open_first_page(self) -> tuple[Block, str, str]:
        """Type it up to the start; the block, what is typed next, and what after its `...`."""
        (block,) = blocks_of(FIRST_PAGE)
        definitions, start, work = block.text.partition("manager.start(")
        self.execute(definitions, block.line)
        before, dots, after = (start + work).partition("\n...\n")
        assert dots
        return block, before, after

    def type(self, section: str) -> dict[str, Any]:
        """Type all of the section, with the manager of the first page; what then stands in the namespace."""
        self.open_first_page()
        self.manager.migrate()
        for block in blocks_of(section):
            self.execute(block.text, block.line)
        return self.namespace

    @property
    def manager(self) -> JobManager:
        manager: JobManager = self.namespace["manager"]
        return manager

    def see(self, job: Job, status: str) -> Job:
        """Wait until the job has this status; the job then."""
        return until(lambda: found if (found := self.manager.find(job)) and found.status == status else None)

    # -- files and processes ------------------------------------------------------------------------------------------------

    def save(self, *of_sections: str, **others: str) -> None:
        """Save the files of these sections, and others: `shop__mail="..."` is shop/mail.py."""
        texts = {block.file: block.text for section in of_sections for block in blocks_of(section) if block.file}
        texts |= {name.replace("__", "/") + ".py": textwrap.dedent(text) for name, text in others.items()}
        for name, text in texts.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.adapted(text))

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        """Python in a process of its own, in the folder of the files."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": f"{self.folder}:{ROOT}", "DJANGO_SETTINGS_MODULE": "shop.settings"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def url_of(conninfo: str, schema: str) -> str:
    """The same database as an URL, as SQLAlchemy wants it too; tables without a schema are in the test's own."""
    parts = conninfo_to_dict(conninfo)
    user, password = quote(str(parts.pop("user", "")), safe=""), quote(str(parts.pop("password", "")), safe="")
    parts["options"] = f"{parts.get('options') or ''} -csearch_path={schema}".strip()
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    return f"postgresql://{login}/{quote(str(parts.pop('dbname', '')), safe='')}?{urlencode(parts, quote_via=quote)}"


@pytest.fixture
def reader(
    database_url: str, schema: str, conn: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    """A reader at the first page. Every manager that they make is stopped, and their own tables have a schema to be in."""
    made: list[JobManager] = []
    init = JobManager.__init__

    def noted(self: JobManager, *arguments: Any, **keywords: Any) -> None:
        init(self, *arguments, **keywords)
        made.append(self)

    monkeypatch.setattr(JobManager, "__init__", noted)
    conn.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    reader = Reader(database_url, schema, tmp_path)
    yield reader
    for manager in made:
        manager.request_stop()
    reports = [manager.stop(timeout=30) for manager in made]
    if engine := reader.namespace.get("engine"):  # SQLAlchemy's
        engine.dispose()
    assert all(report.complete for report in reports), reports


@pytest.fixture
def create_table(conn: psycopg.Connection, schema: str) -> Callable[[str], None]:
    """`create_table("orders (email text)")`: a table of the reader's own program."""

    def create(definition: str) -> None:
        conn.execute(f'create table "{schema}".{definition}'.encode())

    return create


@pytest.fixture
def count(conn: psycopg.Connection, schema: str) -> Callable[[str], int]:
    def count(table: str) -> int:
        query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
        (number,) = conn.execute(query).fetchone() or (0,)
        return int(number)

    return count


def ends_well(process: subprocess.Popen[str], *, signal_number: int | None = None) -> str:
    """What the process wrote; it ends by itself, or by that signal, and with exit code 0."""
    try:
        if signal_number is not None:
            process.send_signal(signal_number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, out + err
    return out + err


# -- the page, section by section ------------------------------------------------------------------------------------------


def test_the_first_page_sends_its_mail_and_tells_its_listener(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    block, before, after = reader.open_first_page()
    reader.execute(before, block.line)
    (job,) = reader.manager.fetch_all()
    assert (job.max_attempts, job.backoff_strategy) == (5, "exp")
    # The page's "..." is where the reader's program goes on; here it waits.
    assert reader.see(job, "completed").result == {"sent": True}
    reader.execute(after, block.line)
    assert reader.mails == [("ada@example.com", "Welcome!")]
    assert reader.pages == []
    assert capsys.readouterr().out == "{'sent': True}\n"


def test_jobs_are_created_as_the_page_says(reader: Reader) -> None:
    reader.type("Creating jobs")
    jobs = reader.manager.fetch_all(limit=1000)
    assert len(jobs) == 3 + 2 + 100
    assert {job.status for job in jobs} == {Status.PENDING}
    (remind,) = reader.manager.fetch_all(type="remind")
    assert 86_000 < (remind.run_at - remind.created_at).total_seconds() < 87_000
    (report,) = reader.manager.fetch_all(queue="slow")
    assert report.priority == -10
    resized = reader.manager.fetch_all(queue="images")
    assert [job.payload["image"] for job in resized] == list(reversed(range(100)))
    assert {job.max_attempts for job in resized} == {1}


def test_a_payload_that_json_cannot_hold_gets_the_message_of_the_page(reader: Reader) -> None:
    reader.open_first_page()
    with pytest.raises(InvalidJob) as error:
        reader.manager.create("welcome", {"items": [1, 2, 3, {4}]})
    assert f"`{error.value}`" in README


def test_the_order_and_its_job_are_committed_together(
    reader: Reader, create_table: Callable[[str], None], count: Callable[[str], int]
) -> None:
    create_table("orders (email text)")
    reader.type("Transactions")
    assert count("orders") == count("job") == 2


@pytest.mark.parametrize(
    ("number", "given", "instead"),
    [
        pytest.param(0, 'connection=connection)\n', 'connection=connection)\n    raise LookupError\n', id="psycopg"),
        pytest.param(1, "session.commit()", "raise LookupError", id="SQLAlchemy"),
    ],
)  # fmt: skip
def test_if_anything_raises_neither_the_order_nor_its_job_ever_existed(
    reader: Reader, create_table: Callable[[str], None], count: Callable[[str], int], number: int, given: str, instead: str
) -> None:
    create_table("orders (email text)")
    reader.open_first_page()
    reader.manager.migrate()
    block = blocks_of("Transactions")[number]
    assert given in block.text
    with pytest.raises(LookupError):
        reader.execute(block.text.replace(given, instead), block.line)
    assert count("orders") == count("job") == 0


@pytest.mark.parametrize(("begin", "stored"), [("begin", 1), ("connect", 0)])
def test_sqlalchemy_must_know_of_the_transaction(reader: Reader, count: Callable[[str], int], begin: str, stored: int) -> None:
    reader.open_first_page()
    reader.manager.migrate()
    engine = blocks_of("Transactions")[1].text.partition("with ")[0]
    reader.execute(
        f"{engine}with engine.{begin}() as connection:\n"
        "    manager.create('welcome', connection=connection.connection.driver_connection)\n"
        "    connection.commit()\n"
    )
    assert count("job") == stored


def test_a_handler_does_its_rows_and_is_put_off_while_there_are_none(
    reader: Reader, create_table: Callable[[str], None]
) -> None:
    create_table("payments (job uuid primary key, amount integer)")
    reader.type("Handlers")
    reader.manager.start()

    job = reader.manager.create("import", {"url": "https://example.com/rows"})
    assert reader.see(job, "completed").result == {"rows": 3}
    assert reader.rows == [(job.uid, 0, "one"), (job.uid, 1, "two"), (job.uid, 2, "three")]

    reader.fetched = None
    job = reader.manager.create("import", {"url": "https://example.com/rows"})
    snoozed = until(lambda: found if (found := reader.manager.find(job)) and found.started_at else None)
    assert (snoozed.status, snoozed.attempts) == (Status.PENDING, 0)
    assert 50 < (snoozed.run_at - snoozed.created_at).total_seconds() < 80
    assert reader.manager.history(job) == []


def test_a_handler_that_sees_the_manager_stop_leaves_the_rest_to_the_next(
    reader: Reader, create_table: Callable[[str], None]
) -> None:
    def store_row(*row: Any) -> None:
        reader.rows.append(row)
        reader.manager.request_stop()
        until(lambda: current_run().stopping)

    create_table("payments (job uuid primary key, amount integer)")
    reader.namespace["store_row"] = store_row
    reader.type("Handlers")
    reader.manager.start()
    job = reader.manager.create("import", {"url": "https://example.com/rows"})
    until(lambda: reader.rows)
    assert reader.manager.stop().complete
    found = reader.see(job, "pending")
    assert (len(reader.rows), found.attempts, found.run_at <= found.updated_at) == (1, 0, True)


def test_the_handler_that_is_said_to_be_idempotent_is(
    reader: Reader, create_table: Callable[[str], None], count: Callable[[str], int]
) -> None:
    create_table("payments (job uuid primary key, amount integer)")
    charge = reader.type("Handlers")["charge"]
    job = reader.manager.create("charge", {"amount": 12})
    reader.manager.start()
    reader.see(job, "completed")
    charge(job)
    assert count("payments") == 1


def test_retries_are_stored_with_each_job_as_the_page_says(reader: Reader) -> None:
    patient = reader.type("Retries")["patient"]
    jobs = {job.payload["shop"]: (job.max_attempts, job.backoff_strategy) for job in reader.manager.fetch_all(type="sync")}
    assert jobs == {1: (10, "exp"), 2: (3, "none"), 3: (5, "exp")}
    assert patient.create("sync").max_attempts == 20


def test_the_table_of_delays_is_that_of_retry_policy() -> None:
    policies = (RetryPolicy(backoff_strategy="none"), RetryPolicy(), RetryPolicy(base=3, max_delay=600))
    for failures, *delays in table_of("Retries", "failed so far"):
        number = int(failures.split()[0])
        assert [float(delay) for delay in delays] == [policy.delay(number) for policy in policies], failures


def test_listeners_hear_what_the_page_says(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    def send_mail(address: str, text: str) -> None:
        raise OSError("no route to host")

    reader.type("Listeners")
    (sent,) = reader.manager.fetch_all()
    reader.see(sent, "completed")
    reader.namespace["send_mail"] = send_mail
    failed = reader.manager.create("welcome", {"email": "bob@example.com"}, max_attempts=1)
    reader.see(failed, "failed")
    reader.manager.stop()  # all are told

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if str(sent.uid) in line] == [
        f"{sent.uid} running 1 running",
        f"{sent.uid} completed 1 success",
    ]
    assert [line for line in lines if str(failed.uid) in line] == [
        f"{failed.uid} running 1 running",
        f"{failed.uid} failed 1 error",
    ]
    assert lines.count("{'sent': True}") == 2  # on_success of the first page, and on_done= of this one
    assert len(lines) == 6, "the listener that was removed heard something"
    assert reader.pages == ["OSError: no route to host", f"welcome {failed.uid}: OSError: no route to host"]


def test_a_manager_works_on_its_queue_by_priority(reader: Reader) -> None:
    namespace = reader.type("Queues and priorities")
    mails: JobManager = namespace["mails"]
    elsewhere = namespace["everything"].create("welcome", {"email": "eve@example.com"}, priority=100)
    mails.set_handler("welcome", reader.namespace["welcome"])
    mails.start(workers=1)
    until(lambda: len(reader.mails) == 2)
    mails.stop()
    assert [address for address, _ in reader.mails] == ["vip@example.com", "ada@example.com"]
    assert reader.see(elsewhere, "pending")


def test_a_flask_view_creates_a_job_that_its_process_does_after_a_fork(reader: Reader) -> None:
    reader.save(
        "Flask",
        shop__mail="def send_mail(address, text): print('mail to', address, text)",
        server="""
            # What gunicorn --preload does: load the application, fork, call the hook in the child, which serves requests.
            import os, runpy, sys, threading
            from shop.app import app

            child = os.fork()
            if child:
                sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

            from shop.jobs import manager
            done = threading.Event()
            manager.on_success("welcome", lambda job: done.set())
            runpy.run_path("gunicorn.conf.py")["post_worker_init"](None)
            answer = app.test_client().post("/signup", data={"email": "ada@example.com"})
            assert answer.status_code == 202, answer
            assert done.wait(30)
            assert manager.find(answer.json["job"]).status == "completed"
            # and no stop(): it ends by itself
        """,
    )
    assert "mail to ada@example.com Welcome!" in ends_well(reader.run("server.py"))


def test_the_dedicated_process_works_until_sigterm(reader: Reader) -> None:
    reader.save("Flask", "A dedicated process", shop__mail="def send_mail(address, text): print('mail to', address, text)")
    reader.open_first_page()
    reader.manager.migrate()
    worker = reader.run("worker.py")
    try:
        reader.see(reader.manager.create("welcome", {"email": "ada@example.com"}), "completed")
    finally:
        written = ends_well(worker, signal_number=signal.SIGTERM)
    assert "mail to ada@example.com Welcome!" in written
    assert "INFO:steve:started: 8 workers" in written


SETTINGS = """
    from django.db.backends.postgresql.psycopg_any import is_psycopg3
    from psycopg.conninfo import conninfo_to_dict

    assert is_psycopg3
    parts = conninfo_to_dict("postgresql://localhost/shop")
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    DATABASES = {"default": {
        "ENGINE": "django.db.backends.postgresql",
        **{ours: parts.pop(theirs) for theirs, ours in names.items() if theirs in parts},
        "OPTIONS": parts,
    }}
    INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
    DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    ALLOWED_HOSTS = ["*"]
    ROOT_URLCONF = "shop.urls"
    SECRET_KEY = "not one"
    USE_TZ = True
"""


def test_a_django_view_commits_the_user_and_the_job_and_a_command_does_it(
    reader: Reader, count: Callable[[str], int], conn: psycopg.Connection
) -> None:
    reader.save(
        "Django",
        shop__settings=SETTINGS,
        shop__urls="""
            from django.db import transaction
            from django.urls import path
            from shop.jobs import manager
            from shop.views import signup

            @transaction.atomic
            def signup_and_fail(request):
                signup(request)
                assert manager.fetch_all() == []  # not before the commit
                raise LookupError

            urlpatterns = [path("signup", signup), path("fail", signup_and_fail)]
        """,
        client="""
            import django
            django.setup()
            from django.core.management import call_command
            from django.test import Client
            from shop.jobs import manager

            call_command("migrate", verbosity=0)
            manager.migrate()
            client = Client(raise_request_exception=False)
            assert client.post("/fail", {"name": "bob", "email": "bob@example.com"}).status_code == 500
            answer = client.post("/signup", {"name": "ada", "email": "ada@example.com"})
            assert answer.status_code == 202, answer.content
            assert manager.find(answer.json()["job"]).payload
        """,
    )
    ends_well(reader.run("client.py"))
    assert count("auth_user") == count("job") == 1

    worker = reader.run("-m", "django", "work")
    status = sql.SQL("select status from {}").format(sql.Identifier(reader.schema, "job"))
    try:
        until(lambda: conn.execute(status).fetchone() == ("completed",), timeout=30)
    finally:
        written = ends_well(worker, signal_number=signal.SIGTERM)
    assert "To: ada@example.com" in written
    assert "Hello ada, good to have you." in written
    assert "bob" not in written


def test_stopping_is_as_the_page_says(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = reader.type("Stopping and signals")
    assert namespace["report"].complete
    assert "still running" not in capsys.readouterr().out
    (job,) = namespace["other"].fetch_all()  # a stopped manager goes on answering
    assert job.type == "welcome"


def test_health_is_told_as_the_page_says(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    reader.open_first_page()
    namespace = reader.type("Health")
    assert capsys.readouterr().out == "True ()\n"
    assert namespace["report"].ok
    rows = re.findall(r"^\| `(\w+)` \|", "\n".join(SECTIONS["Health"]), flags=re.M)
    assert {*rows, "ok", "problems"} == {field.name for field in fields(Health)}
    namespace["raise_alarm"](namespace["health"])
    assert reader.pages == ["jobs are not done: ()"]


def test_looking_at_jobs_shows_what_failed_page_by_page(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    reader.open_first_page()
    reader.namespace["send_mail"] = lambda address, text: 1 / 0
    reader.manager.start(workers=4)
    failed = reader.manager.create_many([("welcome", {"email": "bob@example.com"})] * 51, max_attempts=1)
    for job in failed:
        reader.see(job, "failed")
    reader.manager.stop()
    for block in blocks_of("Looking at jobs"):
        reader.execute(block.text, block.line)
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "pending 0 None"
    assert [line.split()[0] for line in others] == [str(job.uid) for job in reversed(failed)]
    assert all(line.endswith("ZeroDivisionError: division by zero") for line in others)


@pytest.mark.parametrize(("section", "kind"), [("Looking at jobs", Job), ("Stopping and signals", StopReport)])
def test_a_table_of_fields_has_them_all(section: str, kind: type) -> None:
    named = [name for row in table_of(section, kind.__name__) for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(field.name for field in fields(kind))


def test_every_field_of_an_attempt_is_named() -> None:
    text = "\n".join(SECTIONS["Looking at jobs"])
    assert [field.name for field in fields(Attempt) if f"`{field.name}`" not in text] == []


@pytest.fixture
def role(conn: psycopg.Connection, schema: str) -> Iterator[str]:
    """A role without any right, gone at the end."""
    superuser = conn.info.parameter_status("is_superuser") == "on"
    if not superuser:
        pytest.skip("making a role, and working as it, takes a superuser")
    name = f"{schema}_role"
    conn.execute(sql.SQL("create role {}").format(sql.Identifier(name)))
    yield name
    conn.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
    conn.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def as_role(database_url: str, role: str) -> str:
    return make_conninfo(database_url, options=f"-c role={role}")


def test_the_rights_of_the_page_are_enough_to_work(
    reader: Reader, conn: psycopg.Connection, database_url: str, schema: str, role: str
) -> None:
    JobManager(database_url, schema=schema).migrate()
    manager = JobManager(as_role(database_url, role), handler=lambda job: 1, schema=schema)
    with pytest.raises(SteveError):
        manager.create("a type")
    namespace = reader.type("Roles and rights")
    conn.execute(re.sub('"jobs"', f'"{role}"', re.sub('"steve"', f'"{schema}"', only_for("jobs", namespace["sql"]))).encode())
    manager.start()
    job = manager.create("a type")
    until(lambda: len(manager.history(job)) == 1)
    assert manager.stop().complete


def only_for(role: str, grants: str) -> str:
    return "".join(f"{statement};" for statement in grants.split(";") if statement.endswith(f'"{role}"'))


def test_what_ended_long_ago_is_pruned(reader: Reader, conn: psycopg.Connection, schema: str) -> None:
    reader.open_first_page()
    reader.manager.migrate()
    jobs = reader.manager.create_many([("welcome", {"email": "ada@example.com"})] * 3)
    conn.execute(f"update {schema}.job set status = 'completed', completed_at = now() - id * interval '20 days'".encode())
    (block,) = blocks_of("Pruning")
    reader.execute(block.text, block.line)
    assert reader.namespace["count"] == 2
    assert reader.manager.fetch_all() == [reader.manager.find(jobs[0])]


@pytest.fixture
def steve_logger() -> Iterator[logging.Logger]:
    """As it is before anybody sets it up, and again afterwards."""
    logger = logging.getLogger("steve")
    before = logger.level, logger.handlers[:]
    yield logger
    logger.level, logger.handlers[:] = before


def test_every_end_of_an_attempt_is_logged_at_the_level_of_the_page(
    reader: Reader, steve_logger: logging.Logger, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def raising(job: Job) -> None:
        raise LookupError("no such order")

    def snoozing(job: Job) -> None:
        raise Snooze(3600)

    reader.type("Logging")
    for type, handler in {"fine": lambda job: None, "bad": raising, "later": snoozing}.items():
        reader.manager.set_handler(type, handler)
    reader.manager.start()
    jobs = [
        reader.manager.create("fine"),
        reader.manager.create("later"),
        reader.manager.create("bad", backoff_strategy=RetryPolicy(base=1000)),
        reader.manager.create("bad", max_attempts=1),
    ]

    def ends() -> list[logging.LogRecord]:
        return [record for record in caplog.records if hasattr(record, "job_uid")]

    until(lambda: len(ends()) == 4)
    reader.manager.stop()
    levels = {record.job_uid: record.levelname for record in ends()}
    assert [levels[str(job.uid)] for job in jobs] == ["INFO", "INFO", "WARNING", "ERROR"]
    assert {(record.job_type, record.job_attempt) for record in ends()} == {("fine", 1), ("later", 1), ("bad", 1)}
    tracebacks = [record.levelname for record in ends() if record.exc_info]
    assert sorted(tracebacks) == ["ERROR", "WARNING"]
    assert {record.levelname for record in caplog.records if record.getMessage().startswith("started")} == {"INFO"}
    assert " INFO started: 2 workers" in capsys.readouterr().err


def test_the_jobs_of_a_killed_process_are_run_by_others(reader: Reader) -> None:
    reader.open_first_page()
    reader.manager.migrate()
    reader.save(
        killed="""
            import time
            from steve import JobManager
            JobManager("postgresql://localhost/shop", handler=lambda job: time.sleep(60)).run()
        """
    )
    job = reader.manager.create("welcome", {"email": "ada@example.com"})
    process = reader.run("killed.py")
    try:
        reader.see(job, "running")
    finally:
        process.kill()
        process.communicate(timeout=30)
    reader.manager.start()
    until(lambda: reader.manager.find(job).status == "completed", timeout=30)  # the server may be new, and so is the manager
    assert [attempt.status for attempt in reader.manager.history(job)] == ["crashed", "success"]


# -- tables, commands, names, links -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "first", "callables"),
    [
        ("JobManager(...)", "keyword", [JobManager.__init__]),
        ("start(...)", "keyword", [JobManager.start]),
        ("run(...) and stop(...)", "keyword", [JobManager.run, JobManager.stop]),
        ("create(...) and create_many(...)", "keyword", [JobManager.create, JobManager.create_many]),
        ("migrate(...)", "keyword", [JobManager.migrate]),
        ("fetch_all(...)", "keyword", [JobManager.fetch_all]),
        ("prune(...)", "keyword", [JobManager.prune]),
        ("grants(...)", "keyword", [grants]),
        ("Retries", "RetryPolicy", [RetryPolicy.__init__]),
    ],
)
def test_a_table_of_settings_has_every_keyword_and_its_default(
    section: str, first: str, callables: list[Callable[..., Any]]
) -> None:
    in_code = {
        (name, "required" if parameter.default is parameter.empty else repr(parameter.default))
        for function in callables
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    }
    on_page = {
        (row[0].strip("`"), row[1] if row[1] == "required" else repr(eval(row[1].strip("`"), vars(steve))))
        for row in table_of(section, first)
    }
    assert on_page == in_code


def test_the_tree_of_errors_is_that_of_the_code() -> None:
    (block,) = blocks_of("Errors", "text")
    on_page = re.findall(r"^\W*(\w+)", block.text, re.MULTILINE)
    public = [getattr(steve, name) for name in steve.__all__]
    in_code = [kind.__name__ for kind in public if isinstance(kind, type) and issubclass(kind, SteveError)]
    assert sorted(on_page) == sorted(in_code)


def test_every_public_name_is_on_the_page() -> None:
    methods = [name for name in vars(JobManager) if not name.startswith("_")]
    names = [*(name for name in steve.__all__ if name != "__version__"), *methods]
    assert [name for name in names if not re.search(rf"\b{name}\b", README)] == []


def test_every_section_with_python_is_typed_by_a_test() -> None:
    tests = Path(__file__).read_text()
    titles = {block.section for block in BLOCKS if block.language == "python"} - {FIRST_PAGE}
    assert [title for title in titles if f'"{title}"' not in tests] == []


def commands() -> list[str]:
    lines = [line for block in BLOCKS if block.language == "console" for line in block.text.splitlines()]
    in_text = re.findall(r"`((?:make|python -m|pip|docker) [^`]+)`", re.sub(r"^```.*?^```", "", README, flags=re.M | re.S))
    assert all(line.startswith("$ ") for line in lines), "a console block shows commands only"
    return list(dict.fromkeys([*(line.removeprefix("$ ") for line in lines), *in_text]))


@pytest.mark.parametrize("command", commands())
def test_a_command_on_the_page_exists(command: str) -> None:
    words = command.split()
    while re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    match words:
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["python", "-m", "steve", name, *arguments]:
            process = subprocess.run(
                [sys.executable, "-m", "steve", name, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
            )
            assert process.returncode == 0, process.stderr
            assert [word for word in arguments if word.startswith("--") and word not in process.stdout] == []
        case ["pip", "install", what]:
            assert what in (".", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"])
        case ["docker", "compose", *_]:
            # the comment in compose.yaml has been tried with Docker; the page says the same
            assert command in (ROOT / "compose.yaml").read_text()
        case ["gunicorn", "--workers", _, "shop.app:app"]:
            assert any(block.file == "shop/app.py" and "\napp = " in block.text for block in BLOCKS)
        case _:
            pytest.fail("nobody has said how to check this command")


def test_the_tests_database_of_the_page_is_that_of_compose_yaml() -> None:
    (url,) = set(re.findall(r"STEVE_TEST_DATABASE_URL=(\S+) make", README))
    assert url in (ROOT / "compose.yaml").read_text()


def test_links_lead_somewhere() -> None:
    pages = {"README.md": README, "docs/internals.md": (ROOT / "docs/internals.md").read_text()}
    anchors = {"#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in SECTIONS}
    for name, text in pages.items():
        for target in re.findall(r"\]\(([^)]+)\)", text):
            assert target in anchors or (ROOT / name).parent.joinpath(target).is_file(), target


def test_the_files_that_the_internals_name_exist() -> None:
    text = (ROOT / "docs/internals.md").read_text()
    named = re.findall(r"`((?:steve/|sql/|migrations/)?[\w*]+\.(?:py|sql))`", text)
    missing = [name for name in named if not list((ROOT / "steve").glob(name.removeprefix("steve/")))]
    assert named
    assert missing == []


def test_the_numbers_of_a_release_have_their_place() -> None:
    assert re.search(r"^<!-- bench -->\n.+\n<!-- /bench -->$", "\n".join(SECTIONS["Performance"]), re.MULTILINE | re.DOTALL)
