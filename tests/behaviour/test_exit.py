"""Programs that end without calling `stop()`. They exit by themselves; what was begun is finished, committed and told.

Each test runs a real program, which prints what happens in it, and reads the tables when the program has ended.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from steve import JobManager

PROMPTLY = 15.0
"""Seconds. Nothing in steve waits longer than half a second. On Python 3.13 a connection pool that is not closed takes 20."""

BEGINNING = """
import os, sys, threading, time
from steve import JobManager, current_run

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # one write for each line: several threads print

manager = JobManager(sys.argv[1], schema=sys.argv[2])
"""

WAITING = """
ending = threading.Event()

@manager.handler("waits")
def waits(job):
    threading._register_atexit(ending.set)  # the first that Python calls when the main thread has ended
    say("begun", job.payload["n"])
    assert ending.wait(60)
    time.sleep(0.1)
    return "in time"

manager.on_success("waits", lambda job: say("told", job.payload["n"], job.result, manager.find(job).status))
"""
"""A handler that is still at work when the program ends, and a listener."""


class Program:
    """A Python program, running."""

    def __init__(self, source: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", source, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read(self, lines: int) -> list[str]:
        """The next lines that it prints, sorted: several threads print them."""
        assert self._process.stdout is not None
        return sorted(self._process.stdout.readline().rstrip("\n") for _ in range(lines))

    def let_end(self) -> "Ended":
        """Send the line that it waits for before it ends, and wait for its end."""
        began = time.monotonic()
        out, err = self._process.communicate("\n", timeout=60)
        return Ended(self._process.returncode, out.splitlines(), err, time.monotonic() - began)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class Ended:
    """A program that has ended. `lines`: those that were not read yet, sorted. `seconds`: from the line sent to the end."""

    def __init__(self, code: int, lines: list[str], errors: str, seconds: float) -> None:
        self.code = code
        self.lines = sorted(lines)
        self.errors = errors
        self.seconds = seconds


@pytest.fixture
def program(manager: JobManager, database_url: str, schema: str) -> Iterator[Callable[[str], Program]]:
    """`program(source)` starts a program that works on the test's database. It is killed after the test if it has not ended."""
    programs: list[Program] = []

    def start(source: str) -> Program:
        programs.append(Program(BEGINNING + source, database_url, schema))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()


def jobs_by_status(conn: psycopg.Connection, schema: str) -> dict[str, int]:
    query = sql.SQL("select status, count(*) from {}.job group by status").format(sql.Identifier(schema))
    return dict(conn.execute(query).fetchall())


ENDINGS = {
    "its last line": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "an exception": ("raise RuntimeError('the end')", 1),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_runs_is_finished_committed_and_told_and_the_exit_code_is_kept(
    ending: str, program: Callable[[str], Program], manager: JobManager
) -> None:
    statement, code = ENDINGS[ending]
    running = program(
        f"{WAITING}\nmanager.start(workers=2)\nmanager.create('waits', {{'n': 1}})\nsys.stdin.readline()\n{statement}"
    )
    assert running.read(1) == ["begun 1"]
    ended = running.let_end()
    assert ended.lines == ["told 1 in time completed"]
    assert ended.code == code
    assert ended.seconds < PROMPTLY
    assert ("RuntimeError: the end" in ended.errors) == (ending == "an exception")
    (job,) = manager.fetch_all()
    assert (job.status, job.result) == ("completed", "in time")
    assert [attempt.status for attempt in manager.history(job)] == ["success"]


def test_ten_busy_workers_all_finish_and_begin_nothing_else(
    program: Callable[[str], Program], conn: psycopg.Connection, schema: str
) -> None:
    running = program(
        f"{WAITING}\nmanager.create_many([('waits', {{'n': n}}) for n in range(30)])\n"
        "manager.start(workers=10)\nsys.stdin.readline()\n"
    )
    assert running.read(10) == sorted(f"begun {n}" for n in range(10))
    ended = running.let_end()
    assert ended.lines == sorted(f"told {n} in time completed" for n in range(10))
    assert (ended.code, ended.errors) == (0, "")
    assert ended.seconds < PROMPTLY
    assert jobs_by_status(conn, schema) == {"completed": 10, "pending": 20}


def test_jobs_that_were_claimed_and_not_begun_are_given_back(
    program: Callable[[str], Program], conn: psycopg.Connection, schema: str
) -> None:
    # The quick jobs come first: from them the manager learns to claim ahead, and the job that waits blocks what it claimed.
    ahead = "from steve._model.tuning import Tuning\nahead = Tuning(claim_ahead=3600.0, buffer_age=3600.0)\n"
    running = program(
        f"{ahead}manager = JobManager(sys.argv[1], schema=sys.argv[2], _tuning=ahead)\n"
        f"{WAITING}\nmanager.set_handler('quick', lambda job: None)\n"
        "manager.create_many([('quick', {})] * 100, priority=1)\n"
        "manager.create('waits', {'n': 1})\n"
        "manager.create_many([('quick', {})] * 100, priority=-1)\n"
        "manager.start(workers=1)\nsys.stdin.readline()\n"
    )
    assert running.read(1) == ["begun 1"]
    ended = running.let_end()
    assert (ended.code, ended.errors, ended.lines) == (0, "", ["told 1 in time completed"])
    assert ended.seconds < PROMPTLY
    assert jobs_by_status(conn, schema) == {"completed": 101, "pending": 100}
    given_back = sql.SQL("select max(lease_no), max(attempts) from {}.job where status = 'pending'")
    assert conn.execute(given_back.format(sql.Identifier(schema))).fetchall() == [(2, 0)]
    process = sql.SQL("select from {}.process").format(sql.Identifier(schema))
    assert conn.execute(process).fetchall() == []


def test_a_handler_that_asks_whether_it_should_stop_learns_that_the_program_ends(program: Callable[[str], Program]) -> None:
    # One worker is free: at the end of its turn it learns that the program ends. Python tells no other thread.
    running = program(f"""
@manager.handler("asks")
def asks(job):
    say("begun")
    say("told in time", current_run().wait({PROMPTLY}))

manager.create("asks")
manager.start(workers=2)
sys.stdin.readline()
""")
    assert running.read(1) == ["begun"]
    ended = running.let_end()
    assert (ended.code, ended.errors, ended.lines) == (0, "", ["told in time True"])


def test_a_program_that_only_creates_exits_at_once(program: Callable[[str], Program], manager: JobManager) -> None:
    running = program("sys.stdin.readline()\nsay(manager.create('a', {'n': 1}).uid)")
    ended = running.let_end()
    assert (ended.code, ended.errors) == (0, "")
    assert ended.seconds < PROMPTLY
    assert ended.lines == [str(job.uid) for job in manager.fetch_all()]


@pytest.mark.parametrize("workers", [1, 10])
def test_an_idle_manager_does_not_keep_a_program_from_ending(program: Callable[[str], Program], workers: int) -> None:
    running = program(f"{WAITING}\nmanager.start(workers={workers})\nsay('started')\nsys.stdin.readline()\n")
    assert running.read(1) == ["started"]
    ended = running.let_end()
    assert (ended.code, ended.lines, ended.errors) == (0, [], "")
    assert ended.seconds < PROMPTLY


def test_a_manager_that_is_not_referred_to_works_on_until_the_program_ends(
    program: Callable[[str], Program], manager: JobManager
) -> None:
    running = program("""
import gc, weakref

def begin():
    manager = JobManager(sys.argv[1], schema=sys.argv[2])
    manager.set_handler("a", lambda job: job.payload["n"])
    manager.on_done("a", lambda job: say("told", job.result))
    manager.start()
    return weakref.ref(manager)

gone = begin()
gc.collect()
say("collected", gone() is None)
sys.stdin.readline()
""")
    assert running.read(1) == ["collected True"]
    manager.create_many([("a", {"n": n}) for n in range(3)])
    assert running.read(3) == ["told 0", "told 1", "told 2"]
    ended = running.let_end()
    assert (ended.code, ended.lines, ended.errors) == (0, [], "")
    assert ended.seconds < PROMPTLY
    assert {job.status for job in manager.fetch_all()} == {"completed"}
