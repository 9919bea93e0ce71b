"""The log of a run: which lines belong to it, what becomes of lines that nobody can store, and when they are there."""

import asyncio
import contextlib
import contextvars
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from steve import Job, JobManager, LogLine, Status
from steve._engine.records.attempt_log import LOG_BYTES
from steve._model.tuning import Tuning
from tests.behaviour.proxy import Proxy
from tests.conftest import until

MakeManager = Callable[..., JobManager]

SOON = Tuning(log_every=0.05, progress_every=0.05, scan_check=0.02, follow_check=0.02)
NEVER = Tuning(log_every=3_600.0, progress_every=3_600.0, follow_check=0.02)
"""Only the settler writes, at the end of a run."""

log = logging.getLogger("shop")


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    log.setLevel(logging.DEBUG)
    yield
    log.setLevel(logging.NOTSET)
    assert not [one for one in logging.root.handlers if type(one).__module__.startswith("steve")], "left behind"


@pytest.fixture
def capturing(make_manager: MakeManager, manager: JobManager) -> JobManager:
    """Started by `run()`."""
    return make_manager(capture_logs="INFO", _tuning=NEVER)


def run(manager: JobManager, *handlers: Callable[[Job], Any], type: str = "a", **options: Any) -> list[Job]:
    """The jobs of these handlers when they have ended."""
    types = [f"{type}{number}" for number in range(len(handlers))]
    for name, handler in zip(types, handlers, strict=True):
        manager.set_handler(name, handler, **options)
    manager.start(len(handlers))
    jobs = [manager.create(name, max_attempts=1) for name in types]
    return [ended(manager, job) for job in jobs]


def ended(manager: JobManager, job: Job) -> Job:
    found: list[Job | None] = []
    until(lambda: found.append(manager.find(job)) or (found[-1] is not None and found[-1].completed_at is not None))
    assert found[-1] is not None
    return found[-1]


def messages(lines: list[LogLine]) -> list[str]:
    return [line.message for line in lines]


def count(conn: psycopg.Connection, schema: str, table: str) -> int:
    ((rows,),) = conn.execute(sql.SQL("select count(*) from {}.{}").format(*map(sql.Identifier, (schema, table)))).fetchall()
    return int(rows)


# -- which lines ----------------------------------------------------------------------------------------------------------


def test_the_lines_of_a_run_are_there_when_its_job_has_ended(capturing: JobManager) -> None:
    def handler(job: Job) -> None:
        log.info("sending %s", job.payload)
        log.debug("too low")
        log.error("no such %s", "address")

    (job,) = run(capturing, handler)
    lines = capturing.logs(job)
    assert [(line.attempt, line.level, line.logger, line.message) for line in lines] == [
        (1, "INFO", "shop", "sending {}"),
        (1, "ERROR", "shop", "no such address"),
    ]
    assert job.started_at is not None
    assert job.completed_at is not None
    assert all(job.started_at - timedelta(seconds=1) < line.at < job.completed_at + timedelta(seconds=1) for line in lines)
    assert str(lines[1]).endswith(" ERROR shop: no such address")
    assert capturing.logs(str(job.uid), attempt=1) == lines
    assert capturing.logs(job, 2) == []


def test_runs_at_the_same_time_have_their_own_lines(capturing: JobManager) -> None:
    both = threading.Barrier(2)

    def handler(job: Job) -> None:
        both.wait(30)
        for number in range(100):
            log.info("%s %d", job.type, number)

    jobs = run(capturing, handler, handler)
    assert [messages(capturing.logs(job)) for job in jobs] == [[f"{job.type} {n}" for n in range(100)] for job in jobs]


def test_threads_with_a_copy_of_the_context_belong_to_the_run_and_others_do_not(capturing: JobManager) -> None:
    async def work() -> None:
        await asyncio.to_thread(log.info, "asyncio")

    def handler(job: Job) -> None:
        copied = contextvars.copy_context()
        for target in (lambda: copied.run(log.info, "copied"), lambda: log.info("other")):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
        asyncio.run(work())

    (job,) = run(capturing, handler)
    assert messages(capturing.logs(job)) == ["copied", "asyncio"]


def test_without_being_asked_nothing_is_kept(
    make_manager: MakeManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    handlers: list[int] = []

    def handler(job: Job) -> None:
        log.error("a")
        handlers.append(len(logging.root.handlers))

    before = len(logging.root.handlers)
    (job,) = run(make_manager(_tuning=SOON), handler)
    assert manager.logs(job) == []
    assert handlers == [before]
    assert count(conn, schema, "log") == 0


def test_a_handler_may_say_otherwise_than_the_manager(make_manager: MakeManager, manager: JobManager) -> None:
    capturing = make_manager(capture_logs="WARNING", _tuning=NEVER)

    def handler(job: Job) -> None:
        log.debug("debug")
        log.warning("warning")

    kept = {"DEBUG": ["debug", "warning"], False: [], "ERROR": [], None: ["warning"]}
    for number, level in enumerate(kept):
        capturing.set_handler(f"b{number}", handler, capture_logs=level)  # type: ignore[arg-type]

    @capturing.task(name="task", capture_logs="DEBUG")
    def task() -> None:
        log.debug("task")

    capturing.start()
    jobs = [ended(capturing, capturing.create(f"b{number}")) for number in range(len(kept))]
    assert [messages(manager.logs(job)) for job in jobs] == list(kept.values())
    assert messages(manager.logs(ended(capturing, task.create()))) == ["task"]


def test_the_levels_of_loggers_stay_and_a_warning_says_that_they_let_nothing_through(
    make_manager: MakeManager, manager: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    log.setLevel(logging.NOTSET)
    capturing = make_manager(capture_logs=7, _tuning=NEVER)
    before = logging.root.level
    jobs = run(capturing, lambda job: log.log(8, "a"), lambda job: log.log(8, "a"))
    assert logging.root.level == before
    assert [manager.logs(job) for job in jobs] == [[], []]
    warnings = [record.getMessage() for record in caplog.records if "finds little" in record.getMessage()]
    assert len(warnings) == 1


def test_what_steve_logs_about_the_job_meanwhile_is_part_of_it(capturing: JobManager) -> None:
    def delay(job: Job, error: BaseException) -> float:
        raise LookupError("no such delay")

    def handler(job: Job) -> None:
        raise ValueError

    capturing.set_handler("a", handler, retry_delay=delay)
    capturing.start()
    job = capturing.create("a", max_attempts=2, backoff_strategy="none")
    ended(capturing, job)
    (line,) = capturing.logs(job)
    assert (line.logger, line.level) == ("steve", "ERROR")
    assert "the retry_delay of the handler for 'a' raised" in line.message
    assert "no such delay" in line.message


def test_the_attempts_of_a_job_follow_one_another(capturing: JobManager) -> None:
    def handler(job: Job) -> None:
        log.info("attempt %d", job.attempts)
        if job.attempts < 3:
            raise ValueError

    capturing.set_handler("a", handler)
    capturing.start()
    job = ended(capturing, capturing.create("a", max_attempts=3, backoff_strategy="none"))
    assert [(line.attempt, line.message) for line in capturing.logs(job)] == [(n, f"attempt {n}") for n in (1, 2, 3)]
    assert messages(capturing.logs(job, attempt=2)) == ["attempt 2"]


# -- what lines hold ------------------------------------------------------------------------------------------------------


class Mean:
    def __str__(self) -> str:
        raise LookupError("no text")

    __repr__ = __str__


def test_lines_that_cannot_be_formatted_fail_no_job_and_are_kept_as_far_as_possible(
    capturing: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's would fail the job

    def handler(job: Job) -> None:
        log.info("%s", Mean())
        log.info("%d and %d", 1)
        log.info(Mean())
        log.info("a\0b\ud800")
        log.info("x" * 1_000_000)
        log.info("\U0001f600")

    (job,) = run(capturing, handler)
    assert job.status is Status.COMPLETED
    found = messages(capturing.logs(job))
    assert found[:4] == [
        "%s <the arguments cannot be formatted: LookupError>",
        "%d and %d <the arguments cannot be formatted: TypeError>",
        "<str() of Mean raised LookupError> <the arguments cannot be formatted: LookupError>",
        "a\ufffdb\ufffd",
    ]
    assert "characters left out" in found[4]
    assert len(found[4]) < 40_000
    assert found[5] == "\U0001f600"


def test_tracebacks_are_kept_and_the_record_stays_as_it_was(capturing: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    def handler(job: Job) -> None:
        try:
            raise ValueError("the cause")
        except ValueError:
            log.exception("it failed")
        log.info("here", stack_info=True)

    caplog.handler.setFormatter(logging.Formatter("%(message)s"))
    (job,) = run(capturing, handler)
    first, second = messages(capturing.logs(job))
    assert first.startswith("it failed\nTraceback (most recent call last):\n")
    assert first.endswith("ValueError: the cause")
    assert second.startswith("here\nStack (most recent call last):\n")


def test_of_an_attempt_that_logs_too_much_the_middle_is_left_out(make_manager: MakeManager, manager: JobManager) -> None:
    capturing = make_manager(capture_logs="INFO", _tuning=SOON)

    def handler(job: Job) -> None:
        for number in range(20_000):
            log.info("%d %s", number, "x" * 150)

    (job,) = run(capturing, handler)
    # The scanner's write may be under way when the run ends: then what it writes is there for a moment, too.
    until(lambda: sum(line.logger == "steve" for line in manager.logs(job)) == 1)
    lines = manager.logs(job)
    expected = 0
    for line in lines:
        number = int(line.message.split()[line.logger == "steve"].replace(",", ""))
        if line.logger == "steve":
            expected += number  # so many are missing
        else:
            assert number == expected
            expected += 1
    assert expected == 20_000, "the last lines are there, and each gap says how many are missing"
    assert 0.7e6 < sum(len(line.message) for line in lines) < LOG_BYTES


# -- prints ---------------------------------------------------------------------------------------------------------------


def test_prints_of_the_run_become_lines_and_are_printed_all_the_same(
    make_manager: MakeManager, manager: JobManager, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout

    def handler(job: Job) -> None:
        other = threading.Thread(target=lambda: print("other"))
        other.start()
        other.join()
        print("one", 1)
        print("no", "line", end="")
        with contextlib.redirect_stdout(io.StringIO()) as theirs:
            print("theirs")
        print(" break", theirs.getvalue().strip())
        assert sys.stdout.encoding == before.encoding
        sys.stdout.writelines(["a\n", "b"])

    capturing = make_manager(capture_print=True, _tuning=NEVER)
    (job,) = run(capturing, handler)
    lines = manager.logs(job)
    assert [(line.level, line.logger) for line in lines] == [("INFO", "stdout")] * 4
    assert messages(lines) == ["one 1", "no line break theirs", "a", "b"]
    until(lambda: sys.stdout is before)
    assert capsys.readouterr().out == "other\none 1\nno line break theirs\na\nb"


def test_a_redirect_that_outlives_the_run_gets_its_stdout_back(make_manager: MakeManager, manager: JobManager) -> None:
    before = sys.stdout
    redirects: list[Any] = []

    def handler(job: Job) -> None:
        redirect = contextlib.redirect_stdout(io.StringIO())
        redirect.__enter__()
        redirects.append(redirect)

    capturing = make_manager(capture_print=True, _tuning=NEVER)
    run(capturing, handler)
    redirects[0].__exit__(None, None, None)
    print("plain")
    assert sys.stdout is before
    (job,) = run(capturing, lambda job: print("kept"), type="b")
    assert messages(manager.logs(job)) == ["kept"]
    until(lambda: sys.stdout is before)


def test_a_program_without_any_logging_still_sees_warnings(manager: JobManager, database_url: str, schema: str) -> None:
    program = """
import logging, sys, time
from steve import JobManager
manager = JobManager(sys.argv[1], schema=sys.argv[2], capture_logs="WARNING")
def handler(job):
    logging.getLogger("shop").warning("seen")
    logging.getLogger("shop").info("not seen")
manager.set_handler("a", handler)
with manager:
    job = manager.create("a")
    while not manager.find(job).completed_at:
        time.sleep(0.01)
    print([line.message for line in manager.logs(job)], logging.root.handlers)
"""
    done = subprocess.run([sys.executable, "-c", program, database_url, schema], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['seen'] []\n", "seen\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_the_child_of_a_fork_in_a_handler_keeps_nothing(make_manager: MakeManager, manager: JobManager) -> None:
    def handler(job: Job) -> None:
        child = os.fork()
        if not child:
            log.info("child")
            ours = [one for one in logging.root.handlers if type(one).__module__.startswith("steve")]
            os._exit(len(ours) + (type(sys.stdout).__module__ == "steve._runtime.capture"))
        log.info("left %d", os.waitpid(child, 0)[1])

    capturing = make_manager(capture_logs="INFO", capture_print=True, _tuning=NEVER)
    (job,) = run(capturing, handler)
    assert messages(manager.logs(job)) == ["left 0"]


# -- when they are there --------------------------------------------------------------------------------------------------


def test_a_process_that_never_started_follows_the_lines_until_the_job_has_ended(
    make_manager: MakeManager, manager: JobManager
) -> None:
    worker = make_manager(capture_logs="INFO", _tuning=SOON)
    seen: list[str] = []
    first, second = threading.Event(), threading.Event()

    def handler(job: Job) -> None:
        log.info("begun %d", job.attempts)
        first.wait(60)
        if job.attempts == 1:
            raise ValueError
        log.info("middle")
        second.wait(60)
        log.info("end")

    worker.set_handler("a", handler)
    worker.start()
    job = worker.create("a", backoff_strategy="none")
    follower = make_manager(_tuning=SOON)
    for line in follower.tail(job):
        seen.append(line.message)
        {"begun 1": first, "middle": second}.get(line.message, threading.Event()).set()
    assert seen == ["begun 1", "begun 2", "middle", "end"]
    assert ended(follower, job).status is Status.COMPLETED
    assert [line.message for line in manager.tail(job)] == seen, "an ended job: all at once"
    assert list(manager.tail(uuid4())) == []


def test_listeners_find_all_lines(make_manager: MakeManager, manager: JobManager) -> None:
    capturing = make_manager(capture_logs="INFO", _tuning=NEVER)
    found: list[list[str]] = []
    capturing.on_done(None, lambda job: found.append(messages(manager.logs(job))))
    capturing.set_handler("a", lambda job: log.info("%d", job.payload["n"]))
    capturing.start(4)
    capturing.create_many([("a", {"n": n}) for n in range(200)])
    until(lambda: len(found) == 200)
    assert sorted(found) == sorted([str(n)] for n in range(200))


def test_lines_are_written_within_seconds_and_outlive_a_sigkill(manager: JobManager, database_url: str, schema: str) -> None:
    program = """
import logging, sys, time
from steve import JobManager
logging.getLogger("shop").setLevel(logging.INFO)
manager = JobManager(sys.argv[1], schema=sys.argv[2], capture_logs="INFO")
def handler(job):
    for number in range(100_000):
        logging.getLogger("shop").info("%d", number)
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
        time.sleep(0.01)
manager.set_handler("a", handler)
manager.start()
time.sleep(1000)
"""
    job = manager.create("a")
    process = subprocess.Popen([sys.executable, "-c", program, database_url, schema], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if int(line) == 100:
                break
        logged = time.monotonic()
        until(lambda: len(manager.logs(job)) > 100)
        assert time.monotonic() - logged < 15
    finally:
        process.kill()
        process.communicate()
    found = [int(message) for message in messages(manager.logs(job))]
    assert len(found) > 100
    assert found == list(range(len(found)))


def test_lines_of_an_outage_are_written_after_it(make_manager: MakeManager, manager: JobManager, proxy: Proxy) -> None:
    capturing = make_manager(proxy.conninfo, capture_logs="INFO", _tuning=SOON)
    begun, back = threading.Event(), threading.Event()

    def handler(job: Job) -> None:
        log.info("before")
        begun.set()
        back.wait(60)
        log.info("after")

    capturing.set_handler("a", handler)
    capturing.start()
    job = capturing.create("a")
    begun.wait(30)
    until(lambda: messages(manager.logs(job)) == ["before"])
    proxy.refuse()
    back.set()
    time.sleep(0.3)  # the handler has returned, and nothing can be written
    assert messages(manager.logs(job)) == ["before"]
    proxy.accept()
    ended(manager, job)
    assert messages(manager.logs(job)) == ["before", "after"]


def test_a_lock_on_the_log_holds_up_no_outcome(
    make_manager: MakeManager, manager: JobManager, database_url: str, schema: str
) -> None:
    capturing = make_manager(capture_logs="INFO", _tuning=SOON)
    capturing.set_handler("a", lambda job: log.info("line"))
    capturing.set_handler("plain", lambda job: None, capture_logs=False)
    capturing.start()
    with psycopg.connect(database_url) as theirs:
        theirs.execute(sql.SQL("lock table {}.log").format(sql.Identifier(schema)))
        job = capturing.create("a")
        plain = capturing.create_many([("plain", {})] * 20)
        ended(manager, job)
        for one in plain:
            ended(manager, one)
        theirs.rollback()
    until(lambda: messages(manager.logs(job)) == ["line"])


def test_an_attempt_that_has_lost_its_job_goes_on_with_its_own_lines(
    make_manager: MakeManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    capturing = make_manager(capture_logs="INFO", _tuning=SOON)
    begun, rescued = threading.Event(), threading.Event()

    def handler(job: Job) -> None:
        log.info("%d begins", job.attempts)
        if job.attempts == 1:
            begun.set()
            rescued.wait(60)
            log.info("1 goes on")
        else:
            rescued.set()

    capturing.set_handler("a", handler)
    capturing.start(2)
    job = capturing.create("a")
    begun.wait(30)
    lose(conn, schema, job)
    ended(manager, job)
    until(lambda: len(manager.logs(job)) == 3)
    assert [(line.attempt, line.message) for line in manager.logs(job)] == [
        (1, "1 begins"), (1, "1 goes on"), (2, "2 begins"),
    ]  # fmt: skip


def lose(conn: psycopg.Connection, schema: str, job: Job) -> None:
    """Do what a rescue does."""
    rescue = (
        "update {}.job set status = 'pending', lease_no = lease_no + 1, process_id = null, claimed_at = null, "
        "crashes = crashes + 1, started_at = now() where uid = %s"
    )
    conn.execute(sql.SQL(rescue).format(sql.Identifier(schema)), [job.uid])


# -- the end of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["delete", "delete_all", "prune"])
def test_what_attempts_have_left_goes_with_the_job(
    how: str, make_manager: MakeManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    from steve import current_run

    def handler(job: Job) -> None:
        log.info("line")
        current_run().progress(1)

    capturing = make_manager(capture_logs="INFO", _tuning=NEVER)
    gone, stays = run(capturing, handler, handler)
    if how == "delete":
        manager.delete(gone)
    elif how == "delete_all":
        manager.delete_all(type=gone.type)
    else:
        manager.prune(older_than=timedelta(0), type=gone.type)
    assert manager.find(gone) is None
    assert manager.logs(gone) == []
    assert (count(conn, schema, "log"), count(conn, schema, "progress")) == (1, 1)
    assert messages(manager.logs(stays)) == ["line"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda manager: manager.logs(5), TypeError, "job must be a Job, its uid or that as a str, not int"),
        (lambda manager: manager.logs("x"), ValueError, "a job's uid must be a UUID"),
        (lambda manager: manager.logs(uuid4(), "1"), TypeError, "attempt must be an int or None, not str"),
        (lambda manager: manager.logs(uuid4(), True), TypeError, "attempt must be an int or None, not bool"),
        (lambda manager: manager.logs(uuid4(), 0), ValueError, "attempt must be 1 or more, not 0"),
        (lambda manager: manager.logs(uuid4(), connection="x"), TypeError, "connection"),
        (lambda manager: manager.tail(5), TypeError, "job must be a Job"),
        (lambda manager: manager.handler("a", capture_logs="LOUD"), ValueError, "capture_logs must be one of"),
        (lambda manager: manager.set_handler("a", print, capture_print=1), TypeError, "capture_print must be True"),
        (lambda manager: manager.task(capture_logs=True)(print), TypeError, "capture_logs must be a level"),
        (lambda manager: JobManager(capture_logs=-1), ValueError, "capture_logs must be 0 or more"),
        (lambda manager: JobManager(capture_print="yes"), TypeError, "capture_print must be True"),
    ],
)
def test_what_the_calls_refuse(
    make_manager: MakeManager, call: Callable[[JobManager], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(make_manager())
