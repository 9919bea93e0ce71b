"""`steve run`: the worker that people deploy, alone and as several processes, ended and killed in every way."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from steve import JobManager
from steve.cli.running import JsonFormatter
from steve.supervisor import FileWatch, Slot
from tests.child import ROOT
from tests.conftest import until

Start = Callable[..., subprocess.Popen[str]]

JOBS = """
import os, time
from steve import JobManager

manager = JobManager(schema=os.environ["STEVE_TEST_SCHEMA"])

def make():
    return manager

@manager.handler("pid")
def pid(job):
    return os.getpid()

@manager.handler("slow")
def slow(job):
    if "begun" in job.payload:
        open(job.payload["begun"], "w").close()
    time.sleep(job.payload.get("seconds", 0.2))
    return os.getpid()
"""


@pytest.fixture
def start(database_url: str, schema: str, tmp_path: Path, manager: JobManager) -> Iterator[Start]:
    """`start("app:manager", "--processes", 2)` starts `steve run` in a folder with app.py."""
    (tmp_path / "app.py").write_text(JOBS)
    (tmp_path / "more.py").write_text("import app\n\n@app.manager.handler('more')\ndef more(job):\n    return 'more'\n")
    started: list[subprocess.Popen[str]] = []

    def start(*words: object) -> subprocess.Popen[str]:
        environ = os.environ | {
            "STEVE_DATABASE_URL": database_url,
            "STEVE_TEST_SCHEMA": schema,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        with (tmp_path / f"log-{len(started)}").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "steve", "run", *map(str, words)],
                cwd=tmp_path,
                env=environ,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for one in [process, *children]:
            with suppress(psutil.NoSuchProcess):  # children end when their parent is gone
                one.kill()
        process.communicate()


def log_of(tmp_path: Path, number: int = 0) -> str:
    return (tmp_path / f"log-{number}").read_text()


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the two
        return False


def test_it_says_what_it_serves_runs_jobs_and_ends_in_order(start: Start, manager: JobManager, tmp_path: Path) -> None:
    worker = start("app:manager", "--import", "more", "--workers", "a:1;*:2")
    assert manager.wait(manager.create("more"), 60).result == "more"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    log = log_of(tmp_path)
    assert "app:manager, more" in log
    assert "workers a:1;*:2, types more, pid, slow" in log


def test_logs_are_json_if_asked_for_and_a_factory_will_do(start: Start, manager: JobManager, tmp_path: Path) -> None:
    worker = start("app:make", "--log-format", "json", "--max-jobs", 1)
    manager.wait(manager.create("pid"), 60)
    assert worker.wait(60) == 75
    lines = [json.loads(line) for line in log_of(tmp_path).splitlines()]
    assert {"at", "level", "logger", "message", "process"} <= set(lines[0])


def test_a_log_line_in_json_has_the_extras_and_the_traceback_on_one_line() -> None:
    record = logging.makeLogRecord({"msg": "a\n%s", "args": ("b\u202e",), "tenant": "acme"})
    try:
        raise ValueError("x")
    except ValueError:
        record.exc_info = sys.exc_info()
    line = JsonFormatter().format(record)
    fields = json.loads(line)
    assert line.isascii()
    assert "\n" not in line
    assert (fields["message"], fields["tenant"]) == ("a\nb\u202e", "acme")
    assert fields["exception"].endswith("ValueError: x")


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("app", 2, "is not MODULE:NAME"),
        ("nowhere:manager", 2, "there is no module 'nowhere'"),
        ("app:nobody", 2, "has no 'nobody'"),
        ("app:os", 2, "must be a JobManager"),
        ("broken:manager", 1, "ZeroDivisionError"),
        ("lacking:manager", 1, "No module named 'no_such_package'"),
    ],
)
def test_what_cannot_start_says_why_and_whether_to_try_again(
    target: str, code: int, message: str, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "lacking.py").write_text("import no_such_package\n")
    assert start(target).wait(60) == code
    assert message in log_of(tmp_path)


def test_processes_that_can_never_start_end_all(start: Start, tmp_path: Path) -> None:
    assert start("nowhere:manager", "--processes", 2).wait(60) == 2
    assert "cannot start" in log_of(tmp_path)


def test_killed_processes_are_replaced_and_nothing_is_lost(start: Start, manager: JobManager) -> None:
    parent = start("app:manager", "--processes", 4, "--workers", 1)
    until(lambda: len([one for one in manager.processes() if one.alive]) == 4)
    jobs = manager.create_many([("slow", {"seconds": 0.05})] * 60)
    victims = children_of(parent)[:2]
    for victim in victims:
        victim.kill()
    ended = manager.wait_all(jobs, 90)
    assert {job.status for job in ended} == {"completed"}
    until(lambda: len({one.pid for one in children_of(parent)} - {one.pid for one in victims}) == 4)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0


def test_sigterm_under_load_lets_the_handlers_end(start: Start, manager: JobManager, tmp_path: Path) -> None:
    parent = start("app:manager", "--processes", 2, "--workers", 1)
    until(lambda: len([one for one in manager.processes() if one.alive]) == 2)
    jobs = manager.create_many([("slow", {"seconds": 1.0, "begun": str(tmp_path / f"begun-{n}")}) for n in range(6)])
    until(lambda: len(list(tmp_path.glob("begun-*"))) >= 2)  # a job that is only claimed would go back
    children = children_of(parent)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0
    assert not [child for child in children if child.is_running()]
    found = [job for job in map(manager.find, jobs) if job is not None]
    assert {job.status for job in found} <= {"completed", "pending"}
    assert len([job for job in found if job.status == "completed"]) >= 2
    assert {job.crashes for job in found} == {0}


def test_a_handler_that_does_not_end_makes_the_code_1(start: Start, manager: JobManager, tmp_path: Path) -> None:
    parent = start("app:manager", "--processes", 2, "--workers", 1, "--stop-timeout", 0.5)
    manager.create("slow", {"seconds": 600, "begun": str(tmp_path / "begun")})
    until((tmp_path / "begun").exists)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 1


def test_children_end_when_their_parent_is_killed(start: Start, manager: JobManager) -> None:
    parent = start("app:manager", "--processes", 2, "--workers", 1)
    until(lambda: len([one for one in manager.processes() if one.alive]) == 2)
    children = children_of(parent)
    parent.kill()
    parent.wait()
    until(lambda: not [child for child in children if lives(child)])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_order_processes_that_have_only_begun(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "app.py").write_text("import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(60)\n")
    parent = start("app:manager", "--processes", 2)
    until((tmp_path / "begun").exists)
    parent.send_signal(number)
    assert parent.wait(60) == 0, log_of(tmp_path)


def test_after_max_jobs_another_process_goes_on(start: Start, manager: JobManager) -> None:
    parent = start("app:manager", "--processes", 2, "--workers", 1, "--max-jobs", 1)
    jobs = manager.wait_all(manager.create_many([("pid", None)] * 4), 90)
    assert len({job.result for job in jobs}) == 4
    parent.send_signal(signal.SIGINT)
    assert parent.wait(60) == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_a_burst_ends_when_no_job_is_due_and_leaves_what_is_due_later(
    processes: int, start: Start, manager: JobManager
) -> None:
    jobs = manager.create_many([("slow", {"seconds": 0.01})] * 20)
    later = manager.create("slow", delay=3600)
    assert start("app:manager", "--burst", "--processes", processes).wait(60) == 0
    assert {job.status for job in map(manager.find, jobs) if job is not None} == {"completed"}
    assert manager.find(later) == later


def test_it_leaves_the_tables_alone_if_it_is_not_to_migrate(
    start: Start, conn: psycopg.Connection, schema: str, tmp_path: Path
) -> None:
    conn.execute(f'drop schema "{schema}" cascade'.encode())
    assert start("app:manager", "--no-migrate", "--burst").wait(60) == 1
    assert "steve migrate" in log_of(tmp_path)
    assert start("app:manager", "--burst").wait(60) == 0


OUT_OF_MEMORY = """
import pathlib, resource, signal

@manager.handler("killed")
def killed(job):
    seen = pathlib.Path(job.payload["seen"])
    if not seen.exists():
        seen.touch()
        os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does to a process when memory runs out

@manager.handler("hungry")
def hungry(job):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 32, resource.RLIM_INFINITY))
    return len(bytearray(1 << 33))
"""


def test_a_process_that_the_kernel_kills_for_its_memory_is_replaced_and_loses_no_job(
    start: Start, manager: JobManager, tmp_path: Path
) -> None:
    (tmp_path / "hungry.py").write_text("from app import *\n" + OUT_OF_MEMORY)
    parent = start("app:manager", "--import", "hungry", "--processes", 2, "--workers", 2)
    job = manager.create("killed", {"seen": str(tmp_path / "seen")})
    jobs = manager.create_many([("slow", {"seconds": 0.05})] * 40)
    assert {one.status for one in manager.wait_all([job, *jobs], 90)} == {"completed"}
    found = manager.find(job)
    assert found is not None
    assert (found.crashes, found.attempts) == (1, 2)
    assert log_of(tmp_path).count("ended with the code -9") == 1
    until(lambda: len(children_of(parent)) == 2)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to RLIMIT_AS")
def test_a_job_that_runs_into_the_limit_of_memory_fails_alone(start: Start, manager: JobManager, tmp_path: Path) -> None:
    (tmp_path / "hungry.py").write_text("from app import *\n" + OUT_OF_MEMORY)
    worker = start("app:manager", "--import", "hungry", "--workers", 2)
    job = manager.create("hungry", max_attempts=2, backoff_strategy="none")
    assert [one.status for one in manager.wait_all([job], 60)] == ["failed"]
    assert [attempt.error_type for attempt in manager.history(job)] == ["builtins.MemoryError"] * 2
    assert {one.result for one in manager.wait_all(manager.create_many([("pid", None)] * 20), 60)} == {worker.pid}


def test_a_change_of_the_code_is_at_work_soon(start: Start, manager: JobManager, tmp_path: Path) -> None:
    parent = start("app:manager", "--reload", "--workers", 1)
    before = manager.wait(manager.create("pid"), 60).result
    (tmp_path / "app.py").write_text("broken(\n")
    until(lambda: "SyntaxError" in log_of(tmp_path))
    (tmp_path / "app.py").write_text(JOBS + "\n# fixed\n")
    assert manager.wait(manager.create("pid"), 60).result != before
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0


def test_the_watch_sees_new_changed_and_deleted_files_and_passes_others_by(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    has_changed = FileWatch(tmp_path, seconds=0.0)
    assert not has_changed()
    (tmp_path / ".venv" / "x.py").write_text("")
    (tmp_path / "x.txt").write_text("")
    assert not has_changed()
    file = tmp_path / "x.py"
    file.write_text("")
    assert has_changed()
    os.utime(file, (1, 1))
    assert has_changed()
    file.unlink()
    assert has_changed()
    assert not has_changed()


def test_the_pause_before_a_replacement_doubles_and_is_short_again_after_a_long_life() -> None:
    slot = Slot()

    def pause_after(seconds: float, *command: str) -> float:
        slot.begin(command, 100.0)
        assert slot.process is not None
        slot.process.wait()
        slot.look(100.0 + seconds)
        return slot.not_before - (100.0 + seconds)

    assert [pause_after(1.0, "false") for _ in range(4)] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert [pause_after(1.0, "false") for _ in range(6)][-1] == pytest.approx(30.0)
    assert pause_after(60.0, "false") == pytest.approx(0.1)
    assert pause_after(1.0, "sh", "-c", "exit 75") == 0.0
    assert slot.code == 0
    assert slot.is_wanted
    pause_after(1.0, "true")
    assert not slot.is_wanted
