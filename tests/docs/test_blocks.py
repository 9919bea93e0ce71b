"""Every block of every page runs as it stands, and what the page says of it is true."""

import asyncio
import contextlib
import itertools
import logging
import re
import signal
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncSession

from steve import InvalidJob, Job, JobManager, RetryPolicy, Snooze, Status, SteveError, current_run, demo
from steve.demo.tuning import Tuning
from steve.testing import drain, perform
from tests.conftest import until
from tests.docs.pages import PAGES, README, all_blocks, how_to, page
from tests.docs.reader import Reader, ends_well
from tests.drivers import engine_of

TUTORIAL = "docs/tutorial.md"
TYPED = sorted({block.page for page in PAGES.values() for block in page.typed()} - {README, TUTORIAL})


@pytest.mark.parametrize("name", TYPED)
def test_a_page_can_be_typed_from_top_to_bottom(shop: Reader, name: str) -> None:
    shop.type(page(name))


def test_the_files_of_every_page_are_run_by_a_test() -> None:
    saved = " ".join(re.findall(r"reader\.save\(([^=]*)", Path(__file__).read_text()))
    pages = {block.page for page in PAGES.values() for block in page.files()}
    pages -= {"docs/how-to/django.md", "docs/how-to/django-tasks.md"}  # test_page.py in tests/contrib/django and django_tasks
    pages -= {"docs/how-to/flask.md", "docs/how-to/alembic.md"}  # test_pages.py in tests/contrib/flask
    called = {README: "page(README)", TUTORIAL: "page(TUTORIAL)"}
    called |= {name: f'how_to("{Path(name).stem}")' for name in pages if "/how-to/" in name}
    assert [name for name in pages if called[name] not in saved] == []


def test_the_page_on_logs_shows_what_its_handlers_logged_and_printed(
    shop: Reader, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)  # pytest has set up logging already, so the page's basicConfig() does nothing
    shop.type(how_to("logs"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(" INFO shop: writing invoice 7")
    assert lines[1:] == ["42 rows", "stdout 42 rows"]


def test_every_sql_block_is_taken_by_postgresql(shop: Reader, count: Callable[[str], int]) -> None:
    shop.open_first_page()
    shop.manager.migrate()
    blocks = all_blocks("sql", "plpgsql", "postgresql")
    assert blocks
    with psycopg.connect(shop.url, autocommit=True) as connection:
        for block in blocks:
            text = block.text.replace(" steve.", f' "{shop.schema}".').replace("'steve'", f"'{shop.schema}'")
            connection.execute(text.encode())
        before = count("job")
        connection.execute("insert into customers (email) values ('eve@example.com')")
    assert count("job") == before + 1, "the trigger of the page creates a job"


# -- the README and the tutorial -------------------------------------------------------------------------------------------


def test_the_first_page_sends_its_mail_and_tells_its_listener(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = reader.open_first_page()
    reader.execute(before)
    (job,) = reader.manager.fetch_all()
    assert (job.max_attempts, job.backoff_strategy) == (5, "exp")
    # The page's "..." is where the reader's program goes on; here it waits.
    assert reader.see(job, "completed").result == {"sent": True}
    reader.execute(after)
    assert reader.mails == [("ada@example.com", "Welcome!")]
    assert reader.pages == []
    assert capsys.readouterr().out == "{'sent': True}\n"
    assert len(page(README).typed()) == 1


def test_the_first_job_of_a_newcomer_prints_what_the_readme_says(reader: Reader) -> None:
    reader.save(page(README))
    lines = ends_well(reader.run("first.py")).splitlines()
    assert lines == ["mail to ada@example.com", "completed {'sent': True}"]
    assert [line for line in lines if f"`{line}`" not in page(README).text] == []


def demo_output() -> str:
    (block,) = [block for block in page(README).blocks if block.language == "text"]
    return block.text


def shape_of(printed: str) -> list[str]:
    """The lines without what differs from run to run: figures, names of files, the width of a table."""
    printed = re.sub(r"(under|attempt by attempt:) \S+", r"\1 FILE", printed)
    printed = re.sub(r"[\d,.]*\d m?s\b", "0 s", printed)
    printed = re.sub(r"[\d,.]*\d", "0", printed)
    return [" ".join(line.split()) for line in re.sub("─+", "─", printed).splitlines() if line.strip()]


def test_the_demo_prints_every_line_of_the_readme(tmp_path: Path, database_url: str, schema: str) -> None:
    for name in ("a.txt", "b.txt", "c.py", "d.py"):
        (tmp_path / name).write_text("sound")
    (tmp_path / "broken.py").write_text("# coding: klingon")
    (tmp_path / "broken.txt").write_bytes(b"\xff")
    printed = StringIO()
    console = Console(file=printed, width=200, highlight=False)
    tuning = Tuning(RetryPolicy(max_attempts=3, max_delay=0.1), closed_seconds=0.05)
    assert demo.run(tmp_path, database_url, schema=schema, workers=4, console=console, tuning=tuning) == 0
    text = printed.getvalue().replace(f"schema {schema}", "embedded")
    lines = shape_of(re.sub(r"(PostgreSQL \S+) \([^)]*\)", r"\1", text))  # some builds add their own version in brackets
    assert [line for line in shape_of(demo_output()) if line not in lines] == []


def test_the_figures_of_the_demo_in_the_readme_add_up() -> None:
    rows = re.findall(r"^  (\w+) .*?([\d,]+) +([\d,]+) +([\d,]+) +[\d.]+ m?s +[\d.]+ m?s$", demo_output(), re.MULTILINE)
    *groups, total = [[int(figure.replace(",", "")) for figure in figures] for _, *figures in rows]
    assert [name for name, *_ in rows] == ["python", "python", "text", "text", "all"]
    assert [sum(column) for column in zip(*groups, strict=True)] == total
    jobs = f"{total[0]:,}"
    assert re.findall(r"^([\d,]+) (?:text files|of|jobs in)", demo_output(), re.MULTILINE) == [jobs] * 3


def test_the_tutorial_prints_what_it_says(shop: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    shop.open_first_page()
    for block in page(TUTORIAL).typed():
        shop.type_block(block)
        if "manager.create(" in block.text:
            until(lambda: shop.manager.find(shop.namespace["job"]).status in ("completed", "failed"))
    written = capsys.readouterr().out.splitlines()
    said = re.findall(r"prints `([^`]+)`", page(TUTORIAL).text)
    assert len(said) == 3
    assert [line for line in said if line not in written] == []
    assert written[-2:] == ["1 error ConnectionError: the shop is closed", "2 error ConnectionError: the shop is closed"]
    assert [address for address, _ in shop.mails] == ["ada@example.com", "bob@example.com"]


def test_the_process_of_the_tutorial_works_until_sigterm(reader: Reader) -> None:
    reader.save(page(TUTORIAL), shop__mail="def send_mail(address, text): print('mail to', address, text)")
    works_until_sigterm(reader)


def works_until_sigterm(reader: Reader) -> None:
    reader.open_first_page()
    reader.manager.migrate()
    worker = reader.run("worker.py")
    try:
        reader.see(reader.manager.create("welcome", {"email": "ada@example.com"}), "completed")
    finally:
        written = ends_well(worker, signal_number=signal.SIGTERM)
    assert "mail to ada@example.com Welcome!" in written
    assert "INFO:steve:started: 8 workers" in written


def test_the_process_that_a_supervisor_begins_anew_works_until_sigterm(reader: Reader) -> None:
    reader.save(
        page(TUTORIAL),
        how_to("deploys"),
        shop__mail="def send_mail(address, text): print('mail to', address, text)",
    )
    reader.open_first_page()
    reader.manager.migrate()
    worker = reader.run("leaky_worker.py")
    try:
        reader.see(reader.manager.create("welcome", {"email": "ada@example.com"}), "completed")
    finally:
        ends_well(worker, signal_number=signal.SIGTERM)


# -- the how-to guides -----------------------------------------------------------------------------------------------------


def test_jobs_are_created_as_the_page_says(reader: Reader) -> None:
    reader.type(how_to("creating-jobs"))
    jobs = reader.manager.fetch_all(limit=1000)
    assert len(jobs) == 3 + 2 + 100 + 1
    assert {job.status for job in jobs} == {Status.PENDING}
    (remind,) = reader.manager.fetch_all(type="remind")
    assert 86_000 < (remind.run_at - remind.created_at).total_seconds() < 87_000
    (report,) = reader.manager.fetch_all(queue="slow")
    assert report.priority == -10
    resized = reader.manager.fetch_all(queue="images")
    assert [job.payload["image"] for job in resized] == list(reversed(range(100)))
    assert {job.max_attempts for job in resized} == {1}


def test_what_is_paused_does_not_begin_until_it_is_resumed(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = reader.type(how_to("pausing"))
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == ["mail", "None", "mail"]
    assert "wrong template" in shown[1]
    assert reader.manager.paused() == [namespace["pause"]]
    reader.manager.start(1)
    job = reader.manager.create("welcome", {"email": "ada@example.com"}, queue="mail")
    reader.see(reader.manager.create("welcome", {"email": "bob@example.com"}), "completed")
    assert reader.manager.find(job) == job
    reader.manager.resume("mail")
    reader.see(job, "completed")


def test_a_payload_that_json_cannot_hold_gets_the_message_of_the_page(reader: Reader) -> None:
    reader.open_first_page()
    with pytest.raises(InvalidJob) as error:
        reader.manager.create("welcome", {"items": [1, 2, 3, {4}]})
    assert f"```text\n{error.value}\n```" in how_to("creating-jobs").text


def test_tasks_do_what_their_page_says(shop: Reader) -> None:
    namespace = shop.type(how_to("tasks"))
    manager, charge = shop.manager, namespace["charge"]
    assert namespace["job"].payload == {"order": {"number": 17, "total": "9.90"}, "due": None}
    assert [len(manager.fetch_all(queue=queue, limit=1000)) for queue in ("billing", "urgent")] == [104, 1]
    broken = manager.create(charge.type, {"order": {"number": 17, "total": "much"}, "due": None}, queue="billing")
    manager.start()
    assert shop.see(namespace["job"], "completed").result == {"charged": "9.90"}
    error = shop.see(broken, "failed").error
    assert error is not None
    assert f"```text\n{error.replace('page.charge', 'shop.tasks.charge')}\n```" in how_to("tasks").text


def test_hooks_do_what_their_page_says(shop: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    shop.type(how_to("hooks"))
    manager = shop.manager
    (job,) = manager.fetch_all(type="remind")
    assert shop.see(job, "completed").result == "Welcome!"

    @manager.handler("fails")
    def fails(job: Job) -> None:
        raise LookupError("no such order")

    failed = shop.see(manager.create("fails", max_attempts=2, backoff_strategy="none"), "failed")
    assert shop.pages == [f"fails {failed.uid}: no such order"], "once, after the last attempt"
    out = capsys.readouterr().out
    assert f"created fails {failed.uid}\n" in out
    assert "commit []\n" in out
    assert re.search(r"^fails 2 \d", out, re.MULTILINE)


def test_an_order_and_its_job_are_committed_together(shop: Reader, count: Callable[[str], int]) -> None:
    """By psycopg, psycopg2 and asyncpg."""
    shop.type(how_to("transactions"))
    assert count("orders") == count("job") == 3


def test_an_order_and_its_job_are_committed_by_sqlalchemy(shop: Reader, count: Callable[[str], int]) -> None:
    names = shop.type(how_to("sqlalchemy"))
    assert (count("orders"), count("job")) == (1, 3)  # the others are of engine.begin() and of the session with several binds
    job = shop.manager.create("add-order", {"email": "ada@example.com"})
    failing = shop.manager.create("add-order", {"mail": "nobody@example.com"}, max_attempts=1)
    assert [ran.job.status for ran in drain(shop.manager, types=["add-order"], raise_errors=False)] == ["completed", "failed"]
    assert (shop.manager.find(job).result, count("orders"), names["current_session"].get(None)) == (2, 2, None)  # type: ignore[union-attr]
    assert "mail" in str(shop.manager.find(failing).error)  # type: ignore[union-attr]


def test_an_async_session_commits_an_order_and_its_job(
    shop: Reader, count: Callable[[str], int], database_url: str, schema: str
) -> None:
    order = shop.type(how_to("sqlalchemy"))["order"]
    before = count("job")

    async def main() -> None:
        engine = engine_of(database_url, "asyncpg")
        async with AsyncSession(engine) as session:
            await session.execute(sqlalchemy.text(f'set search_path to "{schema}"'))
            await order(session, "ada@example.com")
        await engine.dispose()

    asyncio.run(main())
    assert (count("orders"), count("job")) == (2, before + 1)


def test_a_manager_asks_for_its_password(reader: Reader) -> None:
    reader.open_first_page()
    (block,) = page("docs/operations.md").typed()
    reader.type_block(block)
    reader.manager.migrate()
    assert reader.manager.find(reader.manager.create("welcome")) is not None


@pytest.mark.parametrize(
    ("name", "given", "instead"),
    [
        ("transactions", "connection=connection)\n", "connection=connection)\n    raise LookupError\n"),
        ("sqlalchemy", "session.commit()", "raise LookupError"),
    ],
)
def test_if_anything_raises_neither_the_order_nor_its_job_ever_existed(
    shop: Reader, count: Callable[[str], int], name: str, given: str, instead: str
) -> None:
    shop.open_first_page()
    shop.manager.migrate()
    block = how_to(name).typed()[0]
    assert given in block.text
    with pytest.raises(LookupError):
        shop.execute(block.text.replace(given, instead), block.line)
    assert count("orders") == count("job") == 0


@pytest.mark.parametrize("begin", ["begin", "connect"])
def test_sqlalchemy_begins_the_transaction(reader: Reader, count: Callable[[str], int], begin: str) -> None:
    reader.open_first_page()
    reader.manager.migrate()
    engine = how_to("sqlalchemy").typed()[0].text.partition("with ")[0]
    reader.execute(
        f"{engine}with engine.{begin}() as connection:\n"
        "    manager.create('welcome', connection=connection)\n"
        "    connection.commit()\n"
    )
    assert count("job") == 1


def test_a_handler_does_its_rows_and_is_put_off_while_there_are_none(reader: Reader) -> None:
    reader.type(how_to("handlers"))
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


def test_a_handler_that_sees_the_manager_stop_leaves_the_rest_to_the_next(reader: Reader) -> None:
    def store_row(*row: Any) -> None:
        reader.rows.append(row)
        reader.manager.request_stop()
        until(lambda: current_run().stopping)

    reader.namespace["store_row"] = store_row
    reader.type(how_to("handlers"))
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
    charge = reader.type(how_to("handlers"))["charge"]
    job = reader.manager.create("charge", {"amount": 12})
    reader.manager.start()
    reader.see(job, "completed")
    charge(job)
    assert count("payments") == 1


def test_retries_are_stored_with_each_job_as_the_page_says(reader: Reader) -> None:
    patient = reader.type(how_to("retries"))["patient"]
    jobs = {job.payload["shop"]: (job.max_attempts, job.backoff_strategy) for job in reader.manager.fetch_all(type="sync")}
    assert jobs == {1: (10, "exp"), 2: (3, "none"), 3: (5, "exp")}
    assert patient.create("sync").max_attempts == 20


def test_the_table_of_delays_is_that_of_retry_policy() -> None:
    policies = (RetryPolicy(backoff_strategy="none"), RetryPolicy(), RetryPolicy(base=3, max_delay=600))
    for failures, *delays in how_to("retries").table("failed so far"):
        number = int(failures.split()[0])
        assert [float(delay) for delay in delays] == [policy.delay(number) for policy in policies], failures


def test_listeners_hear_what_the_page_says(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    def send_mail(address: str, text: str) -> None:
        raise OSError("no route to host")

    reader.type(how_to("listeners"))
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
    namespace = reader.type(how_to("queues"), "Use queues and priorities")
    mails: JobManager = namespace["mails"]
    elsewhere = namespace["everything"].create("welcome", {"email": "eve@example.com"}, priority=100)
    mails.set_handler("welcome", reader.namespace["welcome"])
    mails.start(workers=1)
    until(lambda: len(reader.mails) == 2)
    mails.stop()
    assert [address for address, _ in reader.mails] == ["vip@example.com", "ada@example.com"]
    assert reader.see(elsewhere, "pending")


JOBS = """
    from shop.mail import send_mail
    from steve import Job, JobManager

    manager = JobManager("postgresql://localhost/shop")


    @manager.handler("welcome")
    def welcome(job: Job) -> None:
        send_mail(job.payload["email"], "Welcome!")
"""


def test_a_flask_view_waits_for_a_job_and_gives_up_in_time(reader: Reader) -> None:
    reader.save(
        how_to("waiting"),
        shop__jobs=JOBS,
        shop__mail="def send_mail(address, text): pass",
        client="""
            import shop.quotes
            from shop.jobs import manager
            from shop.quotes import app

            manager.set_handler("quote", lambda job: len(job.payload["customer"]))
            manager.start()
            answer = app.test_client().post("/quotes/ada")
            assert (answer.status_code, answer.json) == (200, {"price": 3}), answer.json
            manager.set_handler("quote", lambda job: 1 / 0, give_up_on=ZeroDivisionError)
            answer = app.test_client().post("/quotes/ada")
            assert (answer.status_code, answer.json) == (502, {"error": "ZeroDivisionError: division by zero"}), answer.json
            manager.stop()
            wait = manager.wait
            shop.quotes.manager.wait = lambda job, timeout: wait(job, timeout / 100)
            answer = app.test_client().post("/quotes/ada")
            assert (answer.status_code, answer.json["status"]) == (202, "still at it")
        """,
    )
    ends_well(reader.run("client.py"))


def test_the_dedicated_process_works_until_sigterm(reader: Reader) -> None:
    reader.save(
        how_to("processes"), shop__jobs=JOBS, shop__mail="def send_mail(address, text): print('mail to', address, text)"
    )
    works_until_sigterm(reader)


SHOP_JOBS = """
    from steve import JobManager

    manager = JobManager("postgresql://localhost/shop")

    @manager.handler("welcome")
    def welcome(job):
        print("welcome", flush=True)
"""


def run_worker(reader: Reader, **environment: str) -> str:
    """Runs the page's shop/worker.py until it has done a job. Returns what it wrote."""
    reader.open_first_page()
    reader.manager.migrate()
    worker = reader.run("-m", "shop.worker", environment=environment)
    try:
        reader.see(reader.manager.create("welcome", {"email": "ada@example.com"}), "completed")
    finally:
        written = ends_well(worker, signal_number=signal.SIGTERM)
    return written


def test_the_worker_of_the_page_about_opentelemetry_prints_the_span_of_its_job(reader: Reader) -> None:
    reader.save(how_to("opentelemetry"), shop__jobs=SHOP_JOBS)
    assert '"name": "process welcome"' in run_worker(reader)


def test_the_worker_of_the_page_about_sentry_does_its_job(reader: Reader) -> None:
    reader.save(how_to("sentry"), shop__jobs=SHOP_JOBS)
    assert "welcome" in run_worker(reader, SENTRY_DSN="")


def test_a_fastapi_endpoint_creates_a_job_that_its_process_does_and_another_awaits_one(reader: Reader) -> None:
    reader.save(
        how_to("fastapi"),
        client="""
            from fastapi.testclient import TestClient
            from api import app
            from jobs import manager
            from tests.conftest import until

            with TestClient(app) as client:
                answer = client.post("/signup", params={"email": "ada@example.com"})
                assert answer.status_code == 202, answer
                job = "/jobs/" + answer.json()["job"]
                until(lambda: client.get(job).json() == {"status": "completed"})
                assert client.get("/jobs/00000000-0000-0000-0000-000000000000").json() == {"status": None}
                assert client.post("/quotes/ada").json() == {"price": 21}
                manager.set_handler("quote", lambda job: 1 / 0, max_attempts=1)
                assert "ZeroDivisionError" in client.post("/quotes/ada").json()["error"]
            assert not manager.health().running
        """,
    )
    assert "mail to ada@example.com" in ends_well(reader.run("client.py"))


def test_the_tests_of_the_testing_page_pass(reader: Reader) -> None:
    reader.save(how_to("testing"), shop__mail="def send_mail(address, text): raise OSError('no mail from a test')")
    command = next(
        block.text for block in how_to("testing").blocks if "steve_manager=" in block.text and block.language == "console"
    )
    arguments = command.removeprefix("$ python ").split()
    (reader.folder / "pytest.ini").write_text("[pytest]\n")
    url = {"STEVE_TEST_DATABASE_URL": reader.url}
    written = ends_well(reader.run(*arguments, "-p", "no:cacheprovider", "-p", "no:django", environment=url))
    assert "5 passed" in written


def test_stopping_is_as_the_page_says(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = reader.type(how_to("deploys"))
    assert namespace["report"].complete
    assert "still running" not in capsys.readouterr().out
    (job,) = namespace["other"].fetch_all()  # a stopped manager goes on answering
    assert job.type == "welcome"


def test_health_is_told_as_the_page_says(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    reader.open_first_page()
    namespace = reader.type(how_to("health"))
    assert capsys.readouterr().out == "True ()\n"
    assert namespace["report"].ok
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
    for block in how_to("finding-jobs").typed():
        reader.type_block(block)
    first, *others, tagged = capsys.readouterr().out.splitlines()
    assert first == "pending 0 None"
    assert tagged == "invoice {'order': 17, 'tenant': 'acme'}"
    assert [line.split()[0] for line in others] == [str(job.uid) for job in reversed(failed)]
    assert all(line.endswith("ZeroDivisionError: division by zero") for line in others)


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
    namespace = reader.type(how_to("roles"))
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
    end = f"update {schema}.job set status = 'completed', completed_at = now() - %s * interval '20 days' where uid = %s"
    for number, job in enumerate(jobs, 1):
        conn.execute(end.encode(), [number, job.uid])
    tagged = reader.manager.create("welcome", tags={"tenant": "acme"})
    conn.execute(end.encode(), [1, tagged.uid])
    by_age, by_tags, _ = how_to("pruning").typed()
    reader.type_block(by_age)
    assert reader.namespace["count"] == 2
    assert reader.manager.fetch_all() == [reader.manager.find(tagged), reader.manager.find(jobs[0])]
    reader.type_block(by_tags)
    assert reader.manager.fetch_all() == [reader.manager.find(jobs[0])]


def test_what_is_done_exactly_once_is_committed_with_its_job(
    shop: Reader, conn: psycopg.Connection, count: Callable[[str], int]
) -> None:
    conn.execute(f"insert into \"{shop.schema}\".accounts values ('ada', 10), ('bob', 0)".encode())
    shop.type(how_to("exactly-once"))
    shop.manager.start(workers=1)
    paid = shop.manager.create("pay", {"name": "ada", "amount": 5})
    moved = shop.manager.create("transfer", {"changes": {"ada": -7, "bob": 7}})
    assert shop.see(paid, "completed").result is None
    assert shop.see(moved, "completed").result == {"changed": 2}
    rows = conn.execute(f'select name, balance from "{shop.schema}".accounts order by name'.encode()).fetchall()
    assert rows == [("ada", 8), ("bob", 7)]
    until(lambda: shop.mails == [("ada@example.com", "Welcome!")])


def test_a_key_does_what_the_page_says(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    reader.open_first_page()
    reader.manager.migrate()
    reader.type(how_to("unique"))
    out = capsys.readouterr().out.splitlines()
    assert out == [f"there is one already: {reader.namespace['first'].uid}", "99 were made"]
    (index,) = reader.manager.fetch_all(type="index")
    assert index.payload == {"text": "hello"}


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

    reader.type(how_to("logging"))
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
    until(lambda: reader.manager.find(job).status == "completed", timeout=90)  # the server may be new, and so is the manager
    assert [attempt.status for attempt in reader.manager.history(job)] == ["crashed", "success"]


# -- the new pages ---------------------------------------------------------------------------------------------------------


def test_a_function_that_was_a_task_elsewhere_keeps_its_arguments(reader: Reader) -> None:
    namespace = reader.type(how_to("coming-from"))
    reader.manager.start()
    assert reader.see(namespace["job"], "completed").result == 3


SYSTEMS = ["Celery", "RQ", "huey", "django-tasks", "Procrastinate"]
WITHOUT_CODE = re.compile(r"not there|always so|threads\b|several processes|a job stays in its table|supervisor")


def cells_of(system: str) -> list[tuple[str, list[str]]]:
    """The right cells of the system's table, each with the code in it that can be run: not single words and flags."""
    rows = how_to("coming-from").table(system, system)
    codes = [re.findall(r"`([^`]+)`", right) for _, right in rows]
    return [
        (right, [code for code in found if code.startswith("@") or ("..." not in code and not re.fullmatch(r"[\w.=-]+", code))])
        for (_, right), found in zip(rows, codes, strict=True)
    ]


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_cell_of_the_page_on_other_systems_runs_or_says_why_not(shop: Reader, system: str) -> None:
    namespace = shop.type(how_to("coming-from"))
    manager = shop.manager
    drain(manager)
    namespace["around"] = contextlib.contextmanager(lambda run: (yield))
    numbers = itertools.count()

    def run(code: str) -> None:
        if code.startswith("@"):
            code += f"\ndef of_cell_{next(numbers)}(job=None): ..."
        if "wait_all" in code:
            manager.start()
        if code.startswith("raise "):
            with pytest.raises(BaseException, match="60"):
                exec(code, namespace)
        else:
            exec(code, namespace)

    def in_a_handler(code: str) -> None:
        manager.set_handler("cell", lambda job: run(code))
        perform(manager, "cell")

    with psycopg.connect(shop.url) as connection:
        namespace["connection"] = connection
        for cell, codes in cells_of(system):
            assert codes or WITHOUT_CODE.search(cell), f"no code in: {cell}"
            for code in codes:
                try:
                    in_a_handler(code) if "current_run" in code else run(code)
                except BaseException as error:
                    error.add_note(f"in the cell {code!r}")
                    raise
                if not manager.stop(timeout=30).complete:
                    pytest.fail(code)
                manager.resume(type="add")
        connection.rollback()


def test_the_table_is_read_by_a_dry_run_and_by_a_migration_alike(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    reader.open_first_page()
    for block in how_to("migrations").typed():
        reader.type_block(block)
    dry, applied = capsys.readouterr().out.splitlines()
    assert "create table" in dry
    assert "0001_expand" in applied
    assert reader.manager.migrate() == []


def test_the_conninfo_of_the_failover_page_is_one() -> None:
    (block,) = [block for block in how_to("failover").blocks if block.language == "text"]
    assert conninfo_to_dict(block.text.strip())["target_session_attrs"] == "read-write"
