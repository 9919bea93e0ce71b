"""`manager.run()`: the main loop of a program that does nothing but work, until SIGINT or SIGTERM.

Most tests run a real program and send it real signals. The others need neither.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import Job, JobManager, SchemaError, Snooze, StopReport
from steve._engine.lull import Lull, Work
from tests.conftest import until

BEGINNING = """
import os, signal, sys, threading, time
from steve import JobManager, current_run

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # one write for each line: several threads print

manager = JobManager(sys.argv[1], schema=sys.argv[2])
"""

WAITING = """
@manager.handler("waits")
def waits(job):
    say("begun")
    say("stopping", current_run().wait(30))
    sys.stdin.readline()  # the handler goes on after the signal
    return "done"

manager.on_done(None, lambda job: say("told", job.status, manager.find(job).status))

def earlier(number, frame):
    say("the earlier handler was called")

signal.signal(signal.SIGTERM, earlier)
found = signal.getsignal(signal.SIGINT)  # ignored in a program that a shell has started in the background
report = manager.run(1, stop_timeout=STOP_TIMEOUT)
say("complete", report.complete, len(report.still_running))
say("restored", signal.getsignal(signal.SIGTERM) is earlier, signal.getsignal(signal.SIGINT) is found)
sys.exit(0 if report.complete else 7)
"""


ASKING = """
manager.set_handler("enough", lambda job: manager.request_stop())
manager.create("enough")
say("complete", manager.run(1).complete)
"""


class Program:
    """A Python program, running."""

    def __init__(self, source: str, *arguments: str) -> None:
        command = [sys.executable, "-c", BEGINNING + source, *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def let_end(self) -> tuple[int, list[str], str]:
        """Send the line that the handler reads, and wait for the end. Returns the exit code, the other lines, and stderr."""
        out, err = self._process.communicate("\n", timeout=60)
        return self._process.returncode, out.splitlines(), err

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def program(manager: JobManager, database_url: str, schema: str) -> Iterator[Callable[[str], Program]]:
    """`program(source)` starts a program that works on the test's database. It is killed after the test if it has not ended."""
    programs: list[Program] = []

    def start(source: str) -> Program:
        programs.append(Program(source, database_url, schema))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()


def processes(conn: psycopg.Connection, schema: str) -> int:
    return len(conn.execute(sql.SQL("select from {}.process").format(sql.Identifier(schema))).fetchall())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_after_a_signal_the_running_handler_finishes_and_the_program_exits_with_0(
    number: signal.Signals, program: Callable[[str], Program], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    first, second = manager.create_many([("waits", {})] * 2)
    running = program(WAITING.replace("STOP_TIMEOUT", "30"))
    assert running.read() == "begun"
    running.send(number)
    assert running.read() == "stopping True"
    assert manager.find(first).status == "running"
    code, lines, errors = running.let_end()
    assert lines == ["told completed completed", "complete True 0", "restored True True"]
    assert (code, errors) == (0, "")
    assert manager.find(first).result == "done"
    assert (manager.find(second).status, manager.find(second).attempts) == ("pending", 0)
    assert processes(conn, schema) == 0


QUIET = """
manager.set_handler("first", lambda job: (sys.stdin.readline(), say("begun")))
manager.set_handler("second", lambda job: say("begun the second"))
manager.create("first")

def watch():
    while manager._runner.engine() is None or not manager.health().running:
        time.sleep(0.01)
    while manager._runner.engine().all_pools.live():
        time.sleep(0.01)
    say("quiet")

threading.Thread(target=watch, daemon=True).start()
say("started")
say("complete", manager.run("*:2").complete)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGTSTP"), reason="this system has no SIGTSTP")
def test_sigtstp_makes_it_quiet_and_sigterm_stops_it(program: Callable[[str], Program], manager: JobManager) -> None:
    running = program(QUIET)
    assert running.read() == "started"
    until(lambda: manager.fetch_all("running"))
    running.send(signal.SIGTSTP)
    assert running.read() == "quiet"
    second = manager.create("second")
    running.send(signal.SIGTERM)
    code, out, err = running.let_end()
    assert (code, out) == (0, ["begun", "complete True"]), err
    assert manager.find(second) == second


def test_run_returns_an_incomplete_report_when_a_handler_outlasts_its_stop_timeout(
    program: Callable[[str], Program], manager: JobManager
) -> None:
    job = manager.create("waits")
    running = program(WAITING.replace("STOP_TIMEOUT", "0.2"))
    assert running.read() == "begun"
    running.send(signal.SIGTERM)
    # The handler says the first line, and the main thread the others.
    assert sorted(running.read() for _ in range(3)) == ["complete False 1", "restored True True", "stopping True"]
    code, lines, errors = running.let_end()
    assert code == 7
    assert lines == ["told completed completed"]  # Python waits for the handler before it exits
    assert "in waits" in errors  # the log says where the handler is
    assert manager.find(job).status == "completed"


def test_run_returns_when_a_handler_asks_the_manager_to_stop(program: Callable[[str], Program]) -> None:
    running = program(ASKING)
    assert running.let_end() == (0, ["complete True"], "")


def test_run_returns_the_report_of_stop_and_puts_the_signal_handlers_back(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def send() -> None:
        until(lambda: processes(conn, schema) == 1)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    report = manager.run(workers=3)
    sender.join()
    assert isinstance(report, StopReport)
    assert report.complete
    assert {number: signal.getsignal(number) for number in before} == before
    assert processes(conn, schema) == 0


def test_a_start_that_fails_puts_the_signal_handlers_back(database_url: str, schema: str) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(ValueError, match="workers"):
        JobManager(database_url, schema=schema).run(workers=0)
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize(("stop_timeout", "error"), [("30", TypeError), (True, TypeError), (-1.0, ValueError)])
def test_a_wrong_stop_timeout_is_refused_before_anything_is_started(
    stop_timeout: Any, error: type[Exception], manager: JobManager
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(error, match="stop_timeout"):
        manager.run(stop_timeout=stop_timeout)
    assert not manager.health().running
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_signal_handler_that_python_did_not_install_is_replaced_by_the_default(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    install = signal.signal  # which returns None for a handler that Python did not install
    monkeypatch.setattr(signal, "signal", lambda number, handler: install(number, handler) and None)
    manager.set_handler("enough", lambda job: manager.request_stop())
    manager.create("enough")
    try:
        assert manager.run(1).complete
        assert {signal.getsignal(number) for number in before} == {signal.SIG_DFL}
    finally:
        for number, handler in before.items():
            install(number, handler)


def test_off_the_main_thread_run_is_refused_and_nothing_is_started(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            manager.run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    (error,) = raised
    assert isinstance(error, ValueError)
    assert "main thread" in str(error)
    assert "start() and stop()" in str(error)
    assert processes(conn, schema) == 0


def test_only_run_touches_signal_handlers(manager: JobManager) -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    manager.set_handler("a", lambda job: None)
    with manager:
        job = manager.create("a")
        until(lambda: manager.find(job).status == "completed")
        assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


# -- limits ---------------------------------------------------------------------------------------------------------------

COUNTING = """
runs = 0

@manager.handler("counts")
def counts(job):
    say("begun", current_run().stopping)
    time.sleep(0.05)

report = manager.run(4, max_jobs=5)
say(report.limit, report.complete, len(report.still_running))
sys.exit(report.exit_code)
"""

GROWING = """
kept = []

@manager.handler("grows")
def grows(job):
    kept.append(b"x" * (256 << 20))
    say("stopping", current_run().wait(30))

report = manager.run(1, max_memory=220)
say(report.limit, report.complete)
sys.exit(report.exit_code)
"""


@pytest.mark.parametrize("repeat", range(3))
def test_after_max_jobs_exactly_so_many_have_run_and_the_program_exits_with_75(
    repeat: int, program: Callable[[str], Program], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    manager.create_many([("counts", {})] * 40)
    running = program(COUNTING)
    code, lines, errors = running.let_end()
    assert lines == ["begun False"] * 5 + ["max_jobs True 0"], "and none of them was asked to stop"
    assert (code, errors) == (75, "")
    jobs = manager.fetch_all()
    assert sorted(job.attempts for job in jobs) == [0] * 35 + [1] * 5
    assert processes(conn, schema) == 0


def test_after_max_memory_the_program_stops_as_after_a_signal_and_exits_with_75(
    program: Callable[[str], Program], manager: JobManager
) -> None:
    manager.create("grows")
    running = program(GROWING)
    code, lines, errors = running.let_end()
    assert lines == ["stopping True", "max_memory True"]
    assert (code, errors) == (75, "")


def test_one_job_is_enough_for_a_limit_and_a_signal_comes_before_it(manager: JobManager) -> None:
    ran: list[Any] = []
    manager.set_handler("a", ran.append)
    manager.create_many([("a", {})] * 3)
    report = manager.run(2, max_jobs=1)
    assert (report.limit, report.complete, report.exit_code, len(ran)) == ("max_jobs", True, 75, 1)
    manager.set_handler("a", lambda job: os.kill(os.getpid(), signal.SIGINT))
    report = manager.run(1, max_jobs=1_000)
    assert (report.limit, report.complete, report.exit_code) == (None, True, 0)


@pytest.mark.parametrize("quiet", [True, False])
def test_a_limit_counts_for_a_manager_that_was_started_before(manager: JobManager, quiet: bool) -> None:
    ran: list[Any] = []
    manager.set_handler("a", ran.append)
    manager.start(2)
    if quiet:
        manager.quiet()
        manager.create_many([("a", {})] * 3)
    else:
        manager.create("a", delay=3)  # after run() has begun
    report = manager.run(2, max_jobs=1)
    assert (report.limit, report.exit_code, len(ran)) == ("max_jobs", 75, 1)


@pytest.mark.parametrize(
    ("limits", "error", "message"),
    [
        ({"max_jobs": 0}, ValueError, "max_jobs must be 1 or more, not 0"),
        ({"max_jobs": -1}, ValueError, "max_jobs must be 1 or more, not -1"),
        ({"max_jobs": True}, TypeError, "max_jobs must be an int or None, not bool"),
        ({"max_jobs": 1.0}, TypeError, "max_jobs must be an int or None, not float"),
        ({"max_jobs": "5"}, TypeError, "max_jobs must be an int or None, not str"),
        ({"max_memory": 0}, ValueError, "max_memory must be more than 0 MiB, not 0"),
        ({"max_memory": -1.5}, ValueError, "max_memory must be more than 0 MiB, not -1.5"),
        ({"max_memory": float("nan")}, ValueError, "max_memory must be more than 0 MiB, not nan"),
        ({"max_memory": float("inf")}, ValueError, "max_memory must be more than 0 MiB, not inf"),
        ({"max_memory": True}, TypeError, "max_memory must be a number of MiB or None, not bool"),
        ({"burst": 1}, TypeError, "burst must be True or False, not int"),
        ({"max_memory": "1 GiB"}, TypeError, "max_memory must be a number of MiB or None, not str"),
    ],
)
def test_a_wrong_limit_is_refused_before_anything_is_started(
    limits: dict[str, Any], error: type[Exception], message: str, manager: JobManager
) -> None:
    with pytest.raises(error) as caught:
        manager.run(**limits)
    assert str(caught.value) == message
    assert not manager.health().running


def test_a_burst_runs_what_is_due_and_what_that_creates_and_leaves_what_is_due_later(manager: JobManager) -> None:
    def snooze(job: Job) -> None:
        raise Snooze(3600)

    def chain(job: Job) -> None:
        if job.payload["more"]:
            manager.create("chain", {"more": job.payload["more"] - 1})

    manager.set_handler("chain", chain)
    manager.set_handler("later", lambda job: None)
    manager.set_handler("snoozes", snooze)
    told: list[Job] = []
    manager.on_done(None, told.append)
    manager.create_many([("chain", {"more": 5})] * 20)
    late = [manager.create("later", delay=3600), manager.create("snoozes"), manager.create("nobody has a handler for it")]
    report = manager.run(4, burst=True)
    assert (report.complete, report.limit, report.exit_code) == (True, None, 0)
    assert len(told) == len(manager.fetch_all("completed", limit=1_000)) == 120
    assert [one.status for job in late if (one := manager.find(job))] == ["pending"] * 3


def test_a_burst_of_a_manager_that_is_paused_or_has_no_handler_ends_at_once(manager: JobManager) -> None:
    manager.create("x")
    assert manager.run(2, burst=True).complete
    manager.set_handler("x", lambda job: None)
    manager.pause(type="x")
    assert manager.run("a:1;*:1", burst=True).complete
    manager.resume(type="x")
    assert len(manager.fetch_all("pending")) == 1
    assert manager.run("a:1;*:1", burst=True).complete
    assert len(manager.fetch_all("completed")) == 1


def test_run_leaves_the_tables_to_others_if_it_is_told_so(make_manager: Callable[..., JobManager]) -> None:
    with pytest.raises(SchemaError, match="is missing"):
        make_manager().run(1, burst=True, migrate=False)


class Engine:
    """As `Lull` sees one."""

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.wakes = 0

    def work(self) -> Work:
        return self.works.pop(0)

    def wake(self) -> None:
        self.wakes += 1


@pytest.mark.parametrize(
    ("works", "answers", "wakes"),
    [
        ([Work(0, 0, -1.0), Work(0, 0, 0.5), Work(0, 0, 1.5)], [False, False, True], 1),
        ([Work(1, 1, 0.2), Work(0, 1, 0.2), Work(0, 1, 0.5), Work(0, 1, 2.5)], [False, False, False, True], 1),
        ([Work(0, 0, -1.0), Work(0, 3, 1.5), Work(0, 3, 1.5), Work(0, 3, 3.5)], [False, False, False, True], 2),
        ([Work(0, 0, -1.0), Work(2, 0, 1.5), Work(0, 0, 1.5), Work(0, 0, 1.5)], [False, False, False, False], 2),
    ],
    ids=["nothing to do", "something runs at first", "a claim brings jobs meanwhile", "something runs meanwhile"],
)
def test_a_lull_has_come_when_a_claim_that_began_after_all_was_settled_found_nothing(
    works: list[Work], answers: list[bool], wakes: int
) -> None:
    seconds = iter(range(1, 10))
    lull, engine = Lull(clock=lambda: float(next(seconds))), Engine()
    engine.works = list(works)
    assert [lull.has_come(engine) for _ in works] == answers
    assert engine.wakes == wakes


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (StopReport(True), 0),
        (StopReport(False), 1),
        (StopReport(True, limit="max_jobs"), 75),
        (StopReport(False, limit="max_memory"), 75),
    ],
)
def test_the_exit_code_tells_a_supervisor_whether_to_begin_the_program_anew(report: StopReport, code: int) -> None:
    assert report.exit_code == code
