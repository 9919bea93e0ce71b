"""What the host and the application around a manager do to it: signals, forks, the end of the program, logs that block,
files and descriptors that are gone, an environment that changes, changes of Python's global state.

Where the whole process matters, a test starts a real program, which prints what happens in it.
"""

import asyncio
import contextlib
import gc
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import psycopg
import pytest
from psycopg import pq, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import steve
from steve import InvalidJob, Job, JobManager, Status, embedded
from steve._engine.work.running import frames_now
from steve._model.tuning import Tuning
from steve.errors import OutcomeUnknown, Unavailable
from tests.conftest import until

PATIENCE = 60.0
"""Seconds in which a thing that is to happen soon has happened on any machine."""

BEGINNING = """
import asyncio, os, signal, sys, threading, time
from steve import JobManager, current_run

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # whole lines, also from several threads

manager = JobManager(sys.argv[1], schema=sys.argv[2], heartbeat=1.0)
"""

CAN_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


class Program:
    """A running program. Its lines are read in the order in which it prints them."""

    def __init__(self, source: str, *arguments: str, first: str = "", **options: Any) -> None:
        """`first`: source that it runs before it imports steve."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-c", first + BEGINNING + source, *arguments]
        self._process = subprocess.Popen(command, text=True, start_new_session=True, **(pipes | options))

    def read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            pytest.fail(f"the program has ended: {self._process.communicate()[1]}")
        return line.rstrip("\n")

    def write_line(self) -> None:
        """Send it a line to read."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end, and return its exit code. It is sent nothing to read."""
        return self._process.wait(60)

    def let_end(self) -> tuple[int, list[str], str]:
        """Send it all the lines that it may wait for, and wait for its end. Returns exit code, lines not read yet, stderr."""
        out, err = self._process.communicate("\n" * 10, timeout=PATIENCE)
        return self._process.returncode, out.splitlines(), err

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # with its children: one that is left would keep the pipes open
        self._process.communicate()


@pytest.fixture
def program(database_url: str, schema: str) -> Iterator[Callable[..., Program]]:
    """`program(source)` starts a program on the test's database. It is killed after the test if it has not ended."""
    programs: list[Program] = []

    def begin(source: str, db: str = database_url, **options: Any) -> Program:
        programs.append(Program(textwrap.dedent(source), db, schema, **options))
        return programs[-1]

    yield begin
    for one in programs:
        one.kill()


@pytest.fixture
def database(conn: psycopg.Connection) -> Iterator[str]:
    """The name of a database of the test's own."""
    name = f"test_{uuid4().hex[:12]}"
    conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield name
    conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def processes(conn: psycopg.Connection, schema: str) -> int:
    return len(conn.execute(sql.SQL("select from {}.process").format(sql.Identifier(schema))).fetchall())


def status(manager: JobManager, job: Job) -> Status:
    found = manager.find(job)
    assert found is not None
    return found.status


def log_of(manager: JobManager, job: Job) -> list[str]:
    return [attempt.status for attempt in manager.history(job)]


def sessions(conn: psycopg.Connection, application: str) -> set[int]:
    query = "select pid from pg_stat_activity where application_name = %s"
    return {pid for (pid,) in conn.execute(query, [application]).fetchall()}


# -- signals under run() ----------------------------------------------------------------------------------------------------

HANGING = """
@manager.handler("hangs")
def hangs(job):
    say("begun")
    say("stopping", current_run().wait(60))
    sys.stdin.readline()
    return "done"

def mine(number, frame):
    say("my own handler")

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, mine)
report = manager.run(1, stop_timeout=STOP_TIMEOUT)
say("report", report.complete, [job.type for job in report.still_running])
"""


def hung(program: Callable[..., Program], first: signal.Signals, second: signal.Signals, stop_timeout: float | None) -> Program:
    """A program whose run() has returned after the second signal, while its handler goes on."""
    running = program(HANGING.replace("STOP_TIMEOUT", str(stop_timeout)))
    assert running.read() == "begun"
    running.send(first)
    assert running.read() == "stopping True"
    running.send(second)
    assert running.read() == "report False ['hangs']"
    return running


@pytest.mark.parametrize("stop_timeout", [60.0, None])
@pytest.mark.parametrize(
    ("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)]
)
def test_a_second_signal_makes_run_return_at_once_with_what_still_runs(
    first: signal.Signals,
    second: signal.Signals,
    stop_timeout: float | None,
    program: Callable[..., Program],
    manager: JobManager,
) -> None:
    job = manager.create("hangs")
    running = hung(program, first, second, stop_timeout)
    assert status(manager, job) == "running"
    code, lines, errors = running.let_end()
    assert (code, lines) == (0, [])
    assert "hurrying" in errors
    assert "in hangs" in errors  # where it hung
    assert (status(manager, job), log_of(manager, job)) == ("completed", ["success"])  # the program waits for it at its end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_third_signal_ends_the_process_although_a_handler_never_returns(
    number: signal.Signals, program: Callable[..., Program], manager: JobManager
) -> None:
    job = manager.create("hangs")
    running = hung(program, signal.SIGTERM, signal.SIGTERM, 60.0)
    running.send(number)
    assert running.wait() == -number
    assert status(manager, job) == "running"  # for others


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_is_enough_where_no_handler_runs_and_signal_handlers_are_back(
    number: signal.Signals, program: Callable[..., Program], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    running = program("""
        manager.set_handler("quick", lambda job: "done")
        manager.on_done(None, lambda job: say("told", job.result))

        def mine(number, frame):
            say("my own handler")

        signal.signal(signal.SIGTERM, mine)
        found = signal.getsignal(signal.SIGINT)
        report = manager.run(2)
        say("complete", report.complete, len(report.still_running))
        say("restored", signal.getsignal(signal.SIGTERM) is mine, signal.getsignal(signal.SIGINT) is found)
        signal.raise_signal(signal.SIGTERM)
        """)
    manager.create("quick")
    assert running.read() == "told done"
    running.send(number)
    assert running.let_end() == (0, ["complete True 0", "restored True True", "my own handler"], "")
    assert processes(conn, schema) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_that_is_still_starting(
    number: signal.Signals, program: Callable[..., Program], conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    conn.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [f"steve:migrate:{schema}"])
    application = f"starting {schema}"
    running = program(
        """
        def mine(number, frame):
            say("my own handler")

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, mine)
        report = manager.run(2)
        say("complete", report.complete)
        say("restored", signal.getsignal(signal.SIGTERM) is mine, signal.getsignal(signal.SIGINT) is mine)
        """,
        make_conninfo(database_url, application_name=application),
    )
    tries = "select from pg_stat_activity where application_name = %s and query like '%%pg_try_advisory_xact_lock%%'"
    until(lambda: conn.execute(tries, [application]).fetchall(), timeout=PATIENCE)
    running.send(number)
    status, said, errors = running.let_end()
    assert (status, said) == (0, ["complete True", "restored True True"])
    # psycopg may say that it could not roll back what the signal interrupted
    assert [line for line in errors.splitlines() if "error ignored in rollback" not in line] == []
    assert conn.execute("select from pg_namespace where nspname = %s", [schema]).fetchall() == []


@CAN_FORK
def test_a_child_that_a_handler_forks_has_the_signal_handlers_from_before_run(
    program: Callable[..., Program], manager: JobManager
) -> None:
    job = manager.create("forks", max_attempts=1)
    running = program("""
        def mine(number, frame):
            say("my own handler")

        @manager.handler("forks")
        def forks(job):
            child_is_up, tell = os.pipe()
            pid = os.fork()
            if pid == 0:
                signal.alarm(30)  # in case it does not end
                os.write(tell, str(signal.getsignal(signal.SIGINT) is mine).encode())
                signal.pause()
                os._exit(1)
            found = os.read(child_is_up, 10).decode()
            os.kill(pid, signal.SIGTERM)
            return [found, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]

        manager.on_done(None, lambda job: manager.request_stop())
        signal.signal(signal.SIGINT, mine)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        say("complete", manager.run(1).complete)
        """)
    code, lines, _ = running.let_end()  # later Pythons warn of a fork beside threads
    assert (code, lines) == (0, ["complete True"])
    found = manager.find(job)
    assert found is not None
    assert (found.status, found.error, found.result) == ("completed", None, ["True", -signal.SIGTERM])


@CAN_FORK
def test_a_pool_of_forked_processes_can_be_terminated_in_a_handler(
    program: Callable[..., Program], manager: JobManager
) -> None:
    job = manager.create("forks", max_attempts=1)
    running = program("""
        import multiprocessing

        @manager.handler("forks")
        def forks(job):
            pool = multiprocessing.get_context("fork").Pool(2)
            squares = pool.map(abs, [-1, -2, -3])
            pool.terminate()
            pool.join()
            return squares

        manager.on_done(None, lambda job: manager.request_stop())
        say("complete", manager.run(1).complete)
        """)
    code, lines, _ = running.let_end()
    assert (code, lines) == (0, ["complete True"])
    found = manager.find(job)
    assert found is not None
    assert (found.status, found.error, found.result) == ("completed", None, [1, 2, 3])


@CAN_FORK
def test_a_forked_child_is_ended_by_a_signal_that_comes_at_once(program: Callable[..., Program], manager: JobManager) -> None:
    """Before the hook has put the signal handlers back."""
    at_once = "import os, signal\nos.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))"
    job = manager.create("forks", max_attempts=1)
    running = program(
        """
        @manager.handler("forks")
        def forks(job):
            pid = os.fork()
            if pid == 0:
                os._exit(7)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()

        manager.on_done(None, lambda job: manager.request_stop())
        say("complete", manager.run(1).complete)
        """,
        first=at_once,
    )
    code, lines, _ = running.let_end()
    assert (code, lines) == (0, ["complete True"])
    found = manager.find(job)
    assert found is not None
    assert found.result == [-signal.SIGTERM, True]


# -- the end of a program without stop() ------------------------------------------------------------------------------------

USES = {
    "an executor": """
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(int, "42").result()
        """,
    "an executor made before": """
        return early.submit(int, "42").result()
        """,
    "asyncio.to_thread": """
        return asyncio.run(asyncio.to_thread(int, "42"))
        """,
    "a thread": """
        found = []
        thread = threading.Thread(target=found.append, args=(42,))
        thread.start()
        thread.join()
        return found[0]
        """,
    "a fork": """
        pid = os.fork()
        if pid == 0:
            os._exit(42)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        """,
}


@pytest.mark.parametrize("use", USES)
def test_a_handler_that_runs_on_at_the_end_of_the_program_may_use_threads_and_forks(
    use: str, program: Callable[..., Program], manager: JobManager
) -> None:
    """Python 3.12 starts neither at that time, so there the attempt is not counted."""
    job = manager.create("late", max_attempts=1)
    running = program(
        f"""
from concurrent.futures import ThreadPoolExecutor

early = ThreadPoolExecutor(1)

@manager.handler("late")
def late(job):
    say("begun")
    assert current_run().wait(60)
{textwrap.indent(textwrap.dedent(USES[use]), "    ")}
manager.start(workers=1)
sys.stdin.readline()
"""
    )
    assert running.read() == "begun"
    code, lines, errors = running.let_end()
    assert (code, lines) == (0, [])
    found = manager.find(job)
    assert found is not None
    if sys.version_info[:2] == (3, 12):
        assert (found.status, found.attempts, found.error) == ("pending", 0, None)
        assert log_of(manager, job) == []
        assert "Python starts no threads any more: the attempt is not counted" in errors
    else:
        assert (found.status, found.error, found.result) == ("completed", None, 42)
        assert log_of(manager, job) == ["success"]


def test_stop_on_a_thread_that_works_for_a_handler_returns_and_the_job_completes(manager: JobManager) -> None:
    """If it waited, it would wait for the handler, and the handler for it."""
    manager.set_handler("stops", lambda job: asyncio.run(asyncio.to_thread(manager.stop, 60)).complete)
    manager.start()
    job = manager.create("stops")
    until(lambda: status(manager, job) == "completed", timeout=PATIENCE)
    found = manager.find(job)
    assert found is not None
    assert found.result is False
    assert manager.stop().complete


# -- a log that blocks ------------------------------------------------------------------------------------------------------


class Blocking(logging.Handler):
    """It writes to a pipe that nothing reads."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self._gate = gate
        self.reached = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.reached.set()
        self._gate.wait(60)


@pytest.mark.parametrize("before", [False, True], ids=["at the stop", "before the stop"])
def test_stop_returns_in_time_while_the_log_blocks(
    before: bool, manager: JobManager, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="steve")
    begun = threading.Event()

    @manager.handler("waits")
    def waits(job: Job) -> None:
        begun.set()
        gate.wait(60)

    manager.set_handler("quick", lambda job: None)
    manager.start(workers=2)
    blocking = Blocking(gate)
    logging.getLogger("steve").addHandler(blocking)
    try:
        job = manager.create("waits")
        assert begun.wait(PATIENCE)
        if before:  # a worker hangs in the line about this one
            manager.create("quick")
            assert blocking.reached.wait(PATIENCE)
        reports: list[steve.StopReport] = []
        stopper = threading.Thread(target=lambda: reports.append(manager.stop(timeout=2)))
        stopper.start()
        until(lambda: not stopper.is_alive(), timeout=60)
        assert blocking.reached.wait(PATIENCE)  # a thread of its own logs where the handlers are
    finally:
        gate.set()
        logging.getLogger("steve").removeHandler(blocking)
    (report,) = reports
    assert not report.complete
    assert [one.uid for one in report.still_running] == [job.uid]


FULL_STDERR = """
import logging

logging.basicConfig(level=LEVEL)

@manager.handler("fills")
def fills(job):
    os.set_blocking(2, False)
    try:
        while True:
            os.write(2, b"." * 512)
    except BlockingIOError:
        os.set_blocking(2, True)
    say("full")
    if job.payload["waits"]:
        say("stopping", current_run().wait(60))
        sys.stdin.readline()

manager.run(1, stop_timeout=1)
say("returned")
"""


@pytest.fixture(
    params=[("WARNING", False), ("WARNING", True), ("INFO", False), ("INFO", True)],
    ids=["warnings, idle", "warnings, a handler runs", "all, idle", "all, a handler runs"],
)
def unread(request: pytest.FixtureRequest, program: Callable[..., Program], manager: JobManager) -> Iterator[Program]:
    """A program under run() that was sent SIGTERM. Its stderr is a full pipe that nothing reads."""
    level, waits = request.param
    unread, stderr = os.pipe()
    try:
        running = program(FULL_STDERR.replace("LEVEL", f"logging.{level}"), stderr=stderr)
        manager.create("fills", {"waits": waits})
        assert running.read() == "full"
        running.send(signal.SIGTERM)
        if waits:
            assert running.read() == "stopping True"
        yield running
    finally:
        os.close(stderr)
        os.close(unread)


def test_run_returns_in_time_although_its_log_is_a_full_pipe(unread: Program) -> None:
    assert unread.read() == "returned"


# -- what the program is made of goes away ----------------------------------------------------------------------------------

CALLS = """
say(sys.modules["steve"].__file__)
runs = []

@manager.handler("calls")
def calls(job):
    from datetime import timedelta
    job = manager.create("other", {"n": 1}, run_at=None)
    manager.create_many([("other", {"n": n}) for n in range(3)])
    manager.prune(older_than=timedelta(days=1))
    manager.history(job)
    manager.fetch_all("pending")
    runs.append(job)
    if len(runs) == 1:
        raise RuntimeError("once")
    return [manager.find(job).uid.hex == job.uid.hex, list(manager.check_health().problems)]

manager.on_done(None, lambda job: say("told", job.status))
report = manager.run(2)
say("complete", report.complete)
"""


def remove(package: Path) -> None:
    shutil.rmtree(package)


def spoil(package: Path) -> None:
    for file in package.rglob("*.sql"):
        file.write_text("nonsense")


@pytest.mark.parametrize("break_up", [remove, spoil])
def test_a_running_process_goes_on_when_its_package_is_replaced(
    break_up: Callable[[Path], None],
    program: Callable[..., Program],
    manager: JobManager,
    conn: psycopg.Connection,
    schema: str,
    tmp_path: Path,
) -> None:
    """As in a deploy, while the old process still works."""
    assert steve.__file__ is not None
    package = tmp_path / "steve"
    shutil.copytree(Path(steve.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    running = program(CALLS, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert running.read() == str(package / "__init__.py")
    until(lambda: processes(conn, schema) == 1, timeout=PATIENCE)
    break_up(package)
    job = manager.create("calls", max_attempts=2, backoff_strategy="none")
    assert running.read() == "told completed"
    found = manager.find(job)
    assert found is not None
    assert (found.result, log_of(manager, job)) == ([True, []], ["error", "success"])
    running.send(signal.SIGTERM)
    code, lines, errors = running.let_end()
    assert (code, lines) == (0, ["complete True"])
    assert errors.count("Traceback") == 1  # the handler's own
    assert "RuntimeError: once" in errors
    assert processes(conn, schema) == 0


HOARDER = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

def hoard():
    files = []
    try:
        while True:
            files.append(os.open("/", os.O_RDONLY))
    except OSError:
        return files
"""


def test_a_process_without_free_descriptors_is_alive_and_its_job_completes_once(
    program: Callable[..., Program],
    make_manager: Callable[..., JobManager],
    manager: JobManager,
    conn: psycopg.Connection,
    schema: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("resource")
    tuning = Tuning(observer_age=0.0, server_age=0.0, suspicion=0.5)
    observer = make_manager(handler=lambda job: None, queues=["none"], heartbeat=0.5, _tuning=tuning)
    observer.start()
    job = manager.create("hoards")
    running = program(f"""{HOARDER}
@manager.handler("hoards")
def hoards(job):
    files, enough = hoard(), threading.Event()
    threading.Thread(target=lambda: sys.stdin.readline() and enough.set()).start()
    say("hoarded", len(files) > 10)
    while not enough.wait(0.01):  # what others let go of, too
        files += hoard()
    for file in files:
        os.close(file)

manager.on_done(None, lambda job: say("told", job.status))
manager.run(2)
""")
    assert running.read() == "hoarded True"
    ours = f"%:{os.getpid()}"
    ((began,),) = conn.execute("select clock_timestamp()").fetchall()
    query = f"select from {schema}.process where name not like %s and heartbeat_at > %s + interval '4 s'"
    # For so long the observer would have to see no heartbeat before it took the job away.
    until(lambda: conn.execute(query, [ours, began]).fetchall() or status(manager, job) != "running", timeout=PATIENCE)
    running.write_line()
    assert running.read() == "told completed"
    running.send(signal.SIGTERM)
    code, _, errors = running.let_end()
    assert code == 0
    assert "broke off" not in errors
    found = manager.find(job)
    assert found is not None
    assert (found.status, found.attempts, found.crashes) == ("completed", 1, 0)
    assert log_of(manager, job) == ["success"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []
    observer.stop()


# -- forks ------------------------------------------------------------------------------------------------------------------

UNTOLD = """
import asyncio, logging, os, random, threading
os.register_at_fork = lambda **hooks: None
"""
"""Run before steve is imported, so that steve does not hear of a fork, as of a fork in C. Python itself does hear of this one:
after a fork by libc alone, a child that uses threads hangs now and then."""

FORKED = """
import logging

class Heard(logging.Handler):
    def emit(self, record):
        heard.append(record.getMessage())

heard = []
logging.getLogger("steve").addHandler(Heard())
import psycopg

LAST_CALL = (
    "select pid from pg_stat_activity where strpos(query, %s) > 0 and strpos(query, 'where uid = any(') > 0"
    " order by query_start desc limit 1"
)

def session():
    # The session of the last find(), which is this one.
    manager.find("018f0000-0000-7000-8000-000000000000")
    with psycopg.connect(sys.argv[1]) as connection:
        return connection.execute(LAST_CALL, [sys.argv[2]]).fetchone()

@manager.handler("a")
def a(job):
    return os.getpid()

def child(first):
    signal.alarm(50)  # in case it hangs
    first()
    job = manager.create("a", {"from": "the child"}, queue="child")
    say("stored", manager.find(job) is not None)
    say("its own session", session() != before)
    say("warned", sum("started before this process was forked off" in text for text in heard))
    say("running", manager.health().running)
    manager.start(1)
    late = manager.create("a", {"from": "the child"})
    say("running", manager.health().running)
    say("stopped", manager.stop().complete)
    os._exit(0)

def parent(pid):
    say("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    say("the same session", session() == before)
    job = manager.create("a")
    while manager.find(job).status != "completed":
        time.sleep(0.01)
    say("goes on", manager.find(job).result == os.getpid())
    say("heard", heard)
"""

AS_NEVER_STARTED = [
    "stored True",
    "its own session True",
    "warned WARNED",
    "running False",
    "running True",
    "stopped True",
    "child 0",
    "the same session True",
    "goes on True",
    "heard []",
]


def expected(warned: int) -> list[str]:
    return [line.replace("WARNED", str(warned)) for line in AS_NEVER_STARTED]


FIRST_CALLS = {
    "create": "manager.create('a', queue='child')",
    "create_many": "manager.create_many([('a', None)], queue='child')",
    "fetch_all": "manager.fetch_all()",
    "start": "manager.start(1), manager.stop()",
    "health": "say('health', manager.health().running)",
    "check_health": "say('health', manager.check_health().running)",
    "stop": "say('complete', manager.stop(10).complete)",
    "on_done": "refused()",
}


@CAN_FORK
@pytest.mark.parametrize("call", FIRST_CALLS)
def test_a_fork_that_steve_does_not_hear_of_leaves_a_child_on_connections_of_its_own(
    call: str, program: Callable[..., Program], manager: JobManager
) -> None:
    """The first call in the child finds out, whichever that is."""
    running = program(
        f"""{FORKED}
def refused():
    try:
        manager.create("a", on_done=print)
    except Exception as error:
        say("refused", type(error).__name__)

manager.start(1)
before = session()
pid = os.fork()
if pid == 0:
    try:
        child(lambda: ({FIRST_CALLS[call]}))
    finally:
        os._exit(1)
parent(pid)
manager.stop()
""",
        first=UNTOLD,
    )
    code, lines, _ = running.let_end()
    says = {
        "health": ["health False"],
        "check_health": ["health False"],
        "stop": ["complete True"],
        "on_done": ["refused NotRunning"],
    }
    assert lines == [*says.get(call, []), *expected(1)]
    assert code == 0


@CAN_FORK
def test_a_fork_that_steve_does_not_hear_of_gives_no_warning_if_nothing_was_started(
    program: Callable[..., Program], manager: JobManager
) -> None:
    running = program(
        f"""{FORKED}
before = session()
pid = os.fork()
if pid == 0:
    try:
        child(lambda: None)
    finally:
        os._exit(1)
manager.start(1)
parent(pid)
manager.stop()
""",
        first=UNTOLD,
    )
    code, lines, _ = running.let_end()
    assert (code, lines) == (0, expected(0))


@CAN_FORK
def test_a_fork_without_a_descriptor_to_be_had_leaves_a_manager_as_never_started(
    program: Callable[..., Program], manager: JobManager
) -> None:
    pytest.importorskip("resource")
    running = program(f"""{FORKED}{HOARDER}
manager.start(1)
before = session()
files = hoard()
pid = os.fork()
for file in files:
    os.close(file)
if pid == 0:
    try:
        child(lambda: None)
    finally:
        os._exit(1)
parent(pid)
manager.stop()
""")
    code, lines, _ = running.let_end()
    assert (code, lines) == (0, expected(1))


@CAN_FORK
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may change its root directory")
def test_a_fork_where_there_is_no_dev_null_leaves_a_manager_as_never_started(
    program: Callable[..., Program], manager: JobManager, tmp_path: Path
) -> None:
    running = program(f"""{FORKED}
manager.start(1)
before = session()
root = os.open("/", os.O_RDONLY)
os.chroot({str(tmp_path)!r})
say("nothing there", not os.path.exists(os.devnull))
pid = os.fork()
os.fchdir(root)
os.chroot(".")
if pid == 0:
    try:
        child(lambda: None)
    finally:
        os._exit(1)
parent(pid)
manager.stop()
""")
    code, lines, _ = running.let_end()
    assert (code, lines) == (0, ["nothing there True", *expected(1)])


@CAN_FORK
def test_a_logging_handler_may_create_a_job_in_the_child_of_a_fork(
    program: Callable[..., Program], manager: JobManager
) -> None:
    """The log handler is called in the middle of another create(), with the warning that the parent was started."""
    running = program("""
        import logging

        class Creating(logging.Handler):
            def emit(self, record):
                if os.getpid() != parent:
                    manager.create("logged")

        parent = os.getpid()
        logging.getLogger("steve").addHandler(Creating())
        manager.start(1)
        pid = os.fork()
        if pid == 0:
            try:
                signal.alarm(50)  # in case it hangs
                manager.create("created")
                os._exit(0)
            finally:
                os._exit(1)
        say("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        manager.stop()
        """)
    code, lines, _ = running.let_end()
    assert (code, lines) == (0, ["child 0"])
    assert sorted(job.type for job in manager.fetch_all()) == ["created", "logged"]


# -- interruptions ----------------------------------------------------------------------------------------------------------


class Interrupted(BaseException):
    """What a time limit of the application's raises in its signal handler."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Interrupted])
def test_calls_that_were_interrupted_while_they_waited_for_a_connection_keep_none(
    kind: type[BaseException], server: embedded.Server, make_manager: Callable[..., JobManager], schema: str
) -> None:
    """There are more such calls than the pool has connections."""
    manager = make_manager(server.conninfo, create_timeout=3.0)
    manager.migrate()
    main = threading.main_thread().ident
    assert main is not None

    def raises(number: int, frame: object) -> None:
        raise kind

    def interrupt() -> None:
        until(lambda: _is_in_pool(main), timeout=PATIENCE)
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raises)
    server.stop()
    try:
        for _ in range(12):
            interrupter = threading.Thread(target=interrupt)
            interrupter.start()
            with pytest.raises(kind):
                while True:
                    try:
                        manager.create("a")
                    except (Unavailable, OutcomeUnknown):  # the interruption comes too late for this one
                        pass
            interrupter.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
        server.start()
    jobs = [manager.create("a") for _ in range(12)]
    assert manager.fetch_all() == jobs[::-1]
    with psycopg.connect(server.conninfo) as connection:
        connection.execute(f"drop schema {schema} cascade")


def _is_in_pool(thread: int) -> bool:
    """Whether that thread waits in psycopg's pool for a connection."""
    frame = frames_now().get(thread)
    while frame is not None:
        if frame.f_code.co_name == "wait" and "psycopg_pool" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


# -- the environment --------------------------------------------------------------------------------------------------------


def _environment(conninfo: str) -> dict[str, str]:
    """The same as libpq's variables."""
    names = {option.keyword.decode(): option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    return {names[keyword]: str(value) for keyword, value in conninfo_to_dict(conninfo).items()}


@pytest.mark.parametrize("given", ["nothing", "the database", "STEVE_DATABASE_URL"])
def test_a_manager_keeps_the_database_of_the_environment_that_it_was_made_in(
    given: str,
    make_manager: Callable[..., JobManager],
    conn: psycopg.Connection,
    database_url: str,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    application = f"settled {schema}"
    conninfo = make_conninfo(database_url, application_name=application, dbname=conn.info.dbname)
    db = None
    if given == "STEVE_DATABASE_URL":
        monkeypatch.setenv(given, conninfo)
    else:
        monkeypatch.delenv("STEVE_DATABASE_URL", raising=False)
        for name, value in _environment(conninfo).items():
            monkeypatch.setenv(name, value)
    if given == "the database":
        db = make_conninfo(dbname=conn.info.dbname)
        monkeypatch.setenv("PGDATABASE", "nonsense")
    manager = make_manager(db, lambda job: job.payload["n"])
    manager.start()
    first = manager.create("a", {"n": 1})
    until(lambda: status(manager, first) == "completed")

    monkeypatch.setenv("STEVE_DATABASE_URL", "host=nonsense")
    for name in ("PGDATABASE", "PGHOST", "PGUSER", "PGPORT", "PGAPPNAME"):
        monkeypatch.setenv(name, "1" if name == "PGPORT" else "nonsense")
    gone = sessions(conn, application)
    assert len(gone) >= 4
    conn.execute("select pg_terminate_backend(pid) from unnest(%s::int[]) pid", [list(gone)])
    second = manager.create("a", {"n": 2})
    until(lambda: status(manager, second) == "completed", timeout=PATIENCE)
    until(lambda: not sessions(conn, application) & gone)
    assert manager.stop().complete


# -- Python's own state -----------------------------------------------------------------------------------------------------


class Big:
    """What a handler may have in a local variable."""


@pytest.fixture
def uncollected() -> Iterator[list[weakref.ref[Big]]]:
    """References to objects that must be freed without the garbage collector. pytest, too, keeps no record of the log."""

    def drop(record: logging.LogRecord) -> bool:
        return False

    logging.getLogger("steve").addFilter(drop)
    gc.collect()
    gc.disable()
    yield []
    gc.enable()
    logging.getLogger("steve").removeFilter(drop)


@pytest.mark.parametrize("max_attempts", [1, 2])
def test_a_handler_that_raises_leaves_no_cycle_with_its_locals(
    max_attempts: int, manager: JobManager, uncollected: list[weakref.ref[Big]]
) -> None:
    @manager.handler("raises")
    def raises(job: Job) -> None:
        big = Big()
        uncollected.append(weakref.ref(big))
        raise RuntimeError("with its locals")

    manager.start(workers=1)
    job = manager.create("raises", max_attempts=max_attempts, backoff_strategy="none")
    until(lambda: status(manager, job) == "failed", timeout=PATIENCE)
    assert len(uncollected) == max_attempts
    until(lambda: [reference() for reference in uncollected] == [None] * max_attempts)


def test_a_listener_that_raises_leaves_no_cycle_with_its_locals(
    manager: JobManager, uncollected: list[weakref.ref[Big]]
) -> None:
    manager.set_handler("a", lambda job: None)

    @manager.on_done(None)
    def raises(job: Job) -> None:
        big = Big()
        uncollected.append(weakref.ref(big))
        raise RuntimeError("with its locals")

    @manager.on_attempt(None)
    def raises_too(job: Job, attempt: object) -> None:
        raises(job)

    manager.start(workers=1)
    manager.create("a")
    until(lambda: len(uncollected) == 3, timeout=PATIENCE)  # it began, it ended, it is done
    until(lambda: [reference() for reference in uncollected] == [None] * 3)


def test_a_listener_for_health_that_raises_leaves_no_cycle_with_its_locals(
    make_manager: Callable[..., JobManager],
    conn: psycopg.Connection,
    schema: str,
    uncollected: list[weakref.ref[Big]],
) -> None:
    manager = make_manager(handler=lambda job: None, lease=0.6, heartbeat=0.1)

    @manager.on_unhealthy
    def raises(health: object) -> None:
        big = Big()
        uncollected.append(weakref.ref(big))
        raise RuntimeError("with its locals")

    manager.start()
    with conn.transaction():
        conn.execute(f"lock table {schema}.process in exclusive mode")  # no heartbeat can be written
        until(lambda: uncollected, timeout=PATIENCE)
    until(lambda: [reference() for reference in uncollected] == [None] * len(uncollected))


def test_a_manager_at_work_takes_no_numbers_from_the_random_module(
    make_manager: Callable[..., JobManager],
) -> None:
    random.seed(1)
    numbers = [random.random() for _ in range(5)]

    def handler(job: Job) -> None:
        raise RuntimeError("to be tried again, by chance a little earlier or later")

    retry = steve.RetryPolicy(max_attempts=3, base=1.0, max_delay=0.01, jitter=0.5)
    manager = make_manager(handler=handler, retry=retry, heartbeat=0.1, lease=1.0)
    manager.migrate()
    jobs = manager.create_many([("a", None)] * 5)
    random.seed(1)
    manager.start()
    until(lambda: {status(manager, job) for job in jobs} == {"failed"}, timeout=PATIENCE)
    assert [random.random() for _ in range(5)] == numbers
    assert manager.stop().complete


class Instant(datetime):
    """A datetime as that of pandas: it counts nanoseconds, and its methods return its own class."""

    nanosecond = 0

    def astimezone(self, tz: tzinfo | None = None) -> Self:
        other = super().astimezone(tz)
        at = type(self)(
            other.year, other.month, other.day, other.hour, other.minute, other.second, other.microsecond, tzinfo=other.tzinfo
        )
        at.nanosecond = self.nanosecond
        return at


@pytest.mark.parametrize("days", [1, -1], ids=["ahead", "past"])
def test_a_run_at_of_a_kind_of_its_own_comes_back_as_a_plain_datetime(days: int, manager: JobManager) -> None:
    plain = datetime.now(UTC) + timedelta(days=days)
    at = Instant.fromtimestamp(plain.timestamp(), UTC)
    at.nanosecond = 789
    created = [manager.create("a", run_at=at), *manager.create_many([("a", None)], run_at=at)]
    for job in created + [found for job in created if (found := manager.find(job))]:
        assert type(job.run_at) is datetime
        assert type(job.created_at) is datetime
        assert job.run_at.utcoffset() == timedelta(0)
        if days > 0:
            assert abs(job.run_at - plain) < timedelta(milliseconds=1)
        else:
            assert job.run_at > plain + timedelta(hours=23)  # now
    assert created[::-1] == manager.fetch_all()


class Told:
    """A callback of which a test sees when it is freed."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> None:
        self.jobs.append(job)


def test_the_callback_of_a_job_that_another_process_has_finished_is_forgotten(
    make_manager: Callable[..., JobManager],
) -> None:
    mine = make_manager(lease=1.5, heartbeat=0.5)
    door, begun = threading.Event(), threading.Event()

    def waits(job: Job) -> None:
        begun.set()
        door.wait(60)

    mine.set_handler("waits", waits)
    mine.set_handler("a", lambda job: "here")
    mine.start(workers=1)
    try:
        mine.create("waits")
        assert begun.wait(PATIENCE)
        callback = Told()
        told, seen = callback.jobs, weakref.ref(callback)
        job = mine.create("a", on_done=callback)
        del callback
        assert seen() is not None  # its job is still to be done
        other = make_manager(handlers={"a": lambda job: "there"})
        other.start(workers=1)
        until(lambda: status(mine, job) == "completed", timeout=PATIENCE)
        until(lambda: seen() is None, timeout=PATIENCE)
        found = mine.find(job)
        assert found is not None
        assert found.result == "there"
        assert told == []
    finally:
        door.set()


# -- handlers that would run nothing ----------------------------------------------------------------------------------------


def generates(job: Job) -> Iterator[None]:
    yield None


class Generates:
    def __call__(self, job: Job) -> Iterator[None]:
        yield None

    def method(self, job: Job) -> Iterator[None]:
        yield None


@pytest.mark.parametrize(
    "handler", [generates, Generates(), Generates().method], ids=["a function", "a callable object", "a method"]
)
@pytest.mark.parametrize(
    "register",
    [
        lambda manager, handler: manager.handler("a")(handler),
        lambda manager, handler: manager.set_handler("a", handler),
        lambda manager, handler: JobManager("", handler),
        lambda manager, handler: JobManager("", handlers={"a": handler}),
    ],
    ids=["handler", "set_handler", "for all types", "handlers"],
)
def test_a_generator_function_is_refused_since_calling_it_runs_nothing(
    handler: Callable[..., Any], register: Callable[..., object]
) -> None:
    with pytest.raises(TypeError, match="generator function: called with a job it would run nothing"):
        register(JobManager(""), handler)


class Awaitable:
    def __await__(self) -> Iterator[None]:
        yield None


async def asynchronous(job: Job) -> None:
    raise AssertionError("this is not awaited")


async def asynchronously_generates(job: Job) -> Any:
    yield job


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (lambda job: asynchronous(job), "coroutine"),
        (lambda job: generates(job), "generator"),
        (lambda job: asynchronously_generates(job), "async_generator"),
        (lambda job: Awaitable(), "Awaitable"),
    ],
    ids=["a coroutine", "a generator", "an async generator", "an awaitable"],
)
def test_a_handler_that_returns_what_it_was_to_do_has_not_run_and_is_retried(
    handler: Callable[[Job], Any], kind: str, manager: JobManager
) -> None:
    manager.set_handler("a", handler)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        manager.start(workers=1)
        job = manager.create("a", max_attempts=2, backoff_strategy="none")
        until(lambda: status(manager, job) == "failed", timeout=PATIENCE)
        manager.stop()
        gc.collect()
    assert [str(one.message) for one in warned if "never awaited" in str(one.message)] == []
    attempts = manager.history(job)
    assert [attempt.status for attempt in attempts] == ["error", "error"]
    for attempt in attempts:
        assert attempt.error_message is not None
        assert attempt.error_message.startswith(f"HandlerNotRun: the handler returned a {kind}")


# -- names and addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["müller", "m\udcfcller", "東京"])
@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1"])
def test_a_host_may_have_any_name(
    host: str, encoding: str, conn: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"test_{uuid4().hex[:12]}"
    conn.execute(f"create database {name} encoding '{encoding}' locale 'C' template template0")
    try:
        monkeypatch.setattr("socket.gethostname", lambda: host)
        manager = JobManager(make_conninfo(database_url, dbname=name), lambda job: None)
        with manager:
            job = manager.create("a")
            until(lambda: manager.history(job), timeout=PATIENCE)
        (attempt,) = manager.history(job)
        readable = {"müller": r"m(ü|\\xfc)ller", "m\udcfcller": r"m\S+ller", "東京": r"\S+"}[host]
        assert re.fullmatch(rf"{readable}:{os.getpid()}", attempt.process)
        assert attempt.process.isprintable()
        manager.stop()
    finally:
        conn.execute(f"drop database {name} with (force)")


PASSWORD = "s3cret"

MISTAKES = {
    f"postgresql+psycopg://ada:{PASSWORD}@localhost/shop": ["SQLAlchemy", "'+psycopg'", "postgresql://"],
    f"postgres+psycopg2://ada:{PASSWORD}@localhost/shop": ["SQLAlchemy", "'+psycopg2'", "postgresql://"],
    f"postgresql://ada:{PASSWORD}@localhost/shop?schema=x": ["'schema'", "JobManager(..., schema=...)"],
    f"host=x password={PASSWORD} schema=y": ["'schema'", "JobManager(..., schema=...)"],
    f"postgresql://ada:{PASSWORD}@localhost/shop?sslmode=disable&currentSchema=x": ["'currentSchema'", "schema=..."],
    f"postgresql://ada:{PASSWORD}@localhost/shop?pgbouncer=true": ["'pgbouncer'", "leave it out"],
}


@pytest.mark.parametrize("keyword", ["db", "listen_db", "STEVE_DATABASE_URL"])
@pytest.mark.parametrize("conninfo", MISTAKES)
def test_a_conninfo_of_other_libraries_is_refused_without_showing_its_password(
    conninfo: str, keyword: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEVE_DATABASE_URL", conninfo if keyword == "STEVE_DATABASE_URL" else "")
    with pytest.raises(ValueError) as caught:
        JobManager(**({} if keyword == "STEVE_DATABASE_URL" else {keyword: conninfo}))
    message = str(caught.value)
    assert [word for word in MISTAKES[conninfo] if word not in message] == []
    shown = "".join(traceback.format_exception(caught.value)).replace(f'"{conninfo}"', "")
    assert PASSWORD not in shown
    assert PASSWORD not in message


class Psycopg2Connection:
    """An object that looks like a connection of psycopg2."""

    dsn = f"dbname=shop user=ada password={PASSWORD}"
    closed = 0

    def cursor(self) -> None:
        raise AssertionError("not to be used")

    def __repr__(self) -> str:
        return f"<connection object; dsn: '{self.dsn}', closed: 0>"


Psycopg2Connection.__module__ = "psycopg2.extensions"
Psycopg2Connection.__qualname__ = Psycopg2Connection.__name__ = "connection"


def test_a_connection_of_psycopg2_is_refused_by_name_as_the_database() -> None:
    with pytest.raises(TypeError, match=r"psycopg2\.extensions\.connection: steve needs psycopg 3") as caught:
        JobManager(Psycopg2Connection())
    assert PASSWORD not in str(caught.value)


def test_a_payload_of_huge_floats_is_measured_as_postgresql_gives_it_back(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    """1e300 takes five characters here and 301 there."""
    manager = make_manager()
    manager.migrate()
    job = manager.create("a", {"numbers": [1e300] * 3})
    found = manager.find(job)
    assert found is not None
    assert found.payload == {"numbers": [10**300] * 3}
    many = [1e300] * 4_000
    ((size,),) = conn.execute("select octet_length(%s::jsonb::text)", [str(many).replace("+", "")]).fetchall()
    assert size > 1 << 20
    with pytest.raises(InvalidJob, match="1048576"):
        manager.create("a", {"numbers": many})
    with pytest.raises(InvalidJob):
        manager.create_many([("a", {"numbers": many})])
    manager.create("a", {"numbers": many[:3_000]})  # 0.9 MB there
    manager.create("a", {"numbers": [1.5] * 100_000})  # as much, and no exponent
    large = make_manager(max_payload_bytes=2 << 20)
    assert large.find(large.create("a", {"numbers": many})) is not None


# -- an idle manager without its database -----------------------------------------------------------------------------------


def shut(conn: psycopg.Connection, database: str) -> None:
    """End all connections to the database, and allow no new ones."""
    name = sql.Identifier(database)
    conn.execute(sql.SQL("alter database {} allow_connections false").format(name))
    conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database])
    there = "select from pg_stat_activity where datname = %s"
    until(lambda: not conn.execute(there, [database]).fetchall(), timeout=PATIENCE)


@pytest.mark.parametrize("noticed", [False, True])
def test_an_idle_manager_whose_database_is_away_stops_soon(
    noticed: bool, conn: psycopg.Connection, database: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = JobManager(make_conninfo(database_url, dbname=database), lambda job: None)
    manager.start()
    try:
        job = manager.create("a")
        until(lambda: manager.history(job))
        shut(conn, database)
        if noticed:
            until(lambda: [record for record in caplog.records if "cannot use the database" in record.getMessage()])
    finally:
        began = time.monotonic()
        report = manager.stop(timeout=PATIENCE)
        seconds = time.monotonic() - began
    print(f"stopped in {seconds:.1f} s")
    assert report.complete
    assert seconds < 20


@pytest.mark.parametrize("noticed", [False, True])
def test_a_program_with_an_idle_manager_whose_database_is_away_ends_soon(
    noticed: bool, program: Callable[..., Program], conn: psycopg.Connection, database: str, database_url: str
) -> None:
    running = program(
        """
        import logging

        class Heard(logging.Handler):
            def emit(self, record):
                if "cannot use the database" in record.getMessage():
                    say("noticed")
                    logging.getLogger("steve").removeHandler(self)

        logging.getLogger("steve").addHandler(Heard())
        manager.set_handler("a", lambda job: None)
        manager.on_done(None, lambda job: say("told"))
        manager.start(2)
        manager.create("a")
        sys.stdin.readline()
        """,
        make_conninfo(database_url, dbname=database),
    )
    assert running.read() == "told"
    shut(conn, database)
    if noticed:
        assert running.read() == "noticed"
    began = time.monotonic()
    code, _, _ = running.let_end()
    seconds = time.monotonic() - began
    print(f"ended in {seconds:.1f} s")
    assert code == 0
    assert seconds < 20
