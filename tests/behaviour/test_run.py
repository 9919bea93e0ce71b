"""`manager.run()`: the main loop of a program that does nothing but work, ended by SIGINT or SIGTERM.

Real programs, to which real signals are sent; and what of `run` can be seen without one.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from steve import JobManager, StopReport
from tests.conftest import until

BEGINNING = """
import os, signal, sys, threading, time
from steve import JobManager, current_run

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # a line at a time, whichever threads speak

manager = JobManager(sys.argv[1], schema=sys.argv[2])
"""

WAITING = """
@manager.handler("waits")
def waits(job):
    say("begun")
    say("stopping", current_run().wait(30))
    sys.stdin.readline()  # still at work while the signal is long past
    return "done"

manager.on_done(None, lambda job: say("told", job.status, manager.find(job).status))

def mine(number, frame):
    say("my own handler")

signal.signal(signal.SIGTERM, mine)
found = signal.getsignal(signal.SIGINT)  # ignored in a program that a shell started in the background
report = manager.run(1, stop_timeout=STOP_TIMEOUT)
say("complete", report.complete, len(report.still_running))
say("restored", signal.getsignal(signal.SIGTERM) is mine, signal.getsignal(signal.SIGINT) is found)
sys.exit(0 if report.complete else 7)
"""


ASKING = """
manager.set_handler("enough", lambda job: manager.request_stop())
manager.create("enough")
say("complete", manager.run(1).complete)
"""


class Program:
    """A running program."""

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

    def let_end(self, timeout: float = 60) -> tuple[int, list[str], str]:
        """Let the handler go on (it reads a line) and wait for the end: exit code, lines not read yet, stderr."""
        out, err = self._process.communicate("\n", timeout=timeout)
        return self._process.returncode, out.splitlines(), err

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def program(manager: JobManager, database_url: str, schema: str) -> Iterator[Callable[[str], Program]]:
    """`program(source)`: a program on the test's database, begun. Killed after the test if it has not ended."""
    programs: list[Program] = []

    def begin(source: str) -> Program:
        programs.append(Program(source, database_url, schema))
        return programs[-1]

    yield begin
    for one in programs:
        one.kill()


def processes(conn: psycopg.Connection, schema: str) -> int:
    return len(conn.execute(sql.SQL("select from {}.process").format(sql.Identifier(schema))).fetchall())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0_when_the_running_handler_has_finished(
    number: signal.Signals, program: Callable[[str], Program], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    first, second = manager.create_many([("waits", {})] * 2)
    running = program(WAITING.replace("STOP_TIMEOUT", "30"))
    assert running.read() == "begun"
    running.send(number)
    assert running.read() == "stopping True"
    running.send(number)  # an impatient supervisor changes nothing
    assert manager.find(first).status == "running"
    code, lines, errors = running.let_end()
    assert lines == ["told completed completed", "complete True 0", "restored True True"]
    assert (code, errors) == (0, "")
    assert manager.find(first).result == "done"
    assert (manager.find(second).status, manager.find(second).attempts) == ("pending", 0)
    assert processes(conn, schema) == 0


def test_a_handler_that_goes_on_too_long_makes_it_return_an_incomplete_report_in_time(
    program: Callable[[str], Program], manager: JobManager
) -> None:
    job = manager.create("waits")
    running = program(WAITING.replace("STOP_TIMEOUT", "0.2"))
    assert running.read() == "begun"
    running.send(signal.SIGTERM)
    assert [running.read() for _ in range(3)] == ["stopping True", "complete False 1", "restored True True"]
    code, lines, errors = running.let_end()
    assert code == 7
    assert lines == ["told completed completed"]  # the exit of the program waits for the handler
    assert "in waits" in errors  # where it hung
    assert manager.find(job).status == "completed"


def test_it_returns_too_when_a_handler_asks_the_manager_to_stop(program: Callable[[str], Program]) -> None:
    running = program(ASKING)
    assert running.let_end(timeout=5) == (0, ["complete True"], "")


def test_run_in_this_process_returns_the_report_of_stop_and_puts_the_signal_handlers_back(
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


def test_a_signal_handler_that_python_did_not_install_becomes_the_default(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    install = signal.signal
    monkeypatch.setattr(signal, "signal", lambda number, handler: install(number, handler) and None)  # what it says of one
    manager.set_handler("enough", lambda job: manager.request_stop())
    manager.create("enough")
    try:
        assert manager.run(1).complete
        assert {signal.getsignal(number) for number in before} == {signal.SIG_DFL}
    finally:
        for number, handler in before.items():
            install(number, handler)


def test_off_the_main_thread_it_is_refused_and_nothing_is_started(
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
    thread.join(10)
    (error,) = raised
    assert isinstance(error, ValueError)
    assert "main thread" in str(error)
    assert "start() and stop()" in str(error)
    assert processes(conn, schema) == 0


def test_the_library_leaves_signal_handlers_alone_but_in_run(manager: JobManager) -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    manager.set_handler("a", lambda job: None)
    with manager:
        job = manager.create("a")
        until(lambda: manager.find(job).status == "completed")
        assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
