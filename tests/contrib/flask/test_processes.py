"""Processes of a project: servers, the reloader, workers and other commands."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from steve import JobManager
from tests.conftest import until
from tests.contrib.django.projects import with_children
from tests.contrib.django.test_processes import RESCUED, get, status
from tests.contrib.flask.projects import FlaskProject
from tests.docs.pages import how_to
from tests.ports import free_port

QUICK = {"STEVE_LEASE": 10.0, "STEVE_HEARTBEAT": 0.3, "STEVE_POLL_INTERVAL": 0.2}
GUNICORN = ("-m", "gunicorn", "--workers", "2", "--threads", "2")
FLASK = ("-m", "flask", "--app", "shop:create_starting_app")


def create(shop: FlaskProject, type: str, payload: dict[str, object]) -> UUID:
    manager = JobManager(shop.conninfo)
    try:
        return manager.create(type, payload).uid
    finally:
        manager.stop()


def result(shop: FlaskProject, uid: UUID) -> int:
    """That of the job, when it has completed."""
    until(lambda: status(shop, uid) == "completed")
    return int(shop.query("select result from steve.job where uid = %s", uid)[0][0])


def serves(base: str) -> None:
    until(lambda: get(f"{base}/jobs/0198f000-0000-7000-8000-000000000000"), timeout=60)


def order(shop: FlaskProject, base: str) -> None:
    """Asks the server for an order, whose job its process runs."""
    assert get(f"{base}/order", name="tea", fail="1") is None
    assert shop.query("select count(*) from steve.job") == [(0,)]
    answer = get(f"{base}/order", name="tea")
    assert answer is not None
    until(lambda: get(f"{base}/jobs/{answer['job']}") == {"status": "completed"})
    assert shop.query("select name, shipped from shop_order") == [("tea", 1)]


def page_s_hooks(folder: Path) -> str:
    (block,) = [block for block in how_to("flask").files() if block.file == "gunicorn.conf.py"]
    file = folder / "gunicorn.conf.py"
    file.write_text(block.text)
    return str(file)


def test_gunicorn_without_preload_runs_jobs_where_the_app_is_made(shop: FlaskProject) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    web = shop.begin(*GUNICORN, "--bind", f"127.0.0.1:{port}", "shop:create_starting_app()", **QUICK)
    serves(base)
    order(shop, base)
    assert result(shop, create(shop, "who", {})) != web.pid
    shop.ends(web)
    assert shop.query("select count(*) from steve.process") == [(0,)], "they have said goodbye"


def test_gunicorn_with_preload_runs_jobs_in_its_children_and_lets_them_end(shop: FlaskProject, tmp_path: Path) -> None:
    """With the configuration of the page, whose hooks outlive --timeout and --max-requests."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    begun, until_gone = tmp_path / "begun", tmp_path / "hold"
    until_gone.touch()
    hooks = ("--config", page_s_hooks(tmp_path), "--timeout", "6", "--max-requests", "2")
    web = shop.begin(*GUNICORN, "--preload", "--bind", f"127.0.0.1:{port}", *hooks, "shop:create_app()", **QUICK)
    serves(base)
    order(shop, base)
    uid = create(shop, "hold", {"begun": str(begun), "until_gone": str(until_gone)})
    holder = int(until(lambda: begun.exists() and begun.read_text()))
    assert holder != web.pid
    while f"[{holder}] [INFO] Autorestarting worker" not in shop.output(web):
        get(f"{base}/jobs/{uid}")
    time.sleep(9)  # gunicorn would kill the process after 6 s, and again after 1 s more
    web.send_signal(signal.SIGTERM)
    until(lambda: "Handling signal: term" in shop.output(web))
    assert status(shop, uid) == "running"
    until_gone.unlink()
    assert web.wait(60) == 0, shop.output(web)
    assert shop.query("select status, crashes from steve.job where uid = %s", uid) == [("completed", 0)]
    assert result(shop, uid) == holder


def pids(parent: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


@pytest.fixture
def copied(shop: FlaskProject, tmp_path: Path) -> Iterator[FlaskProject]:
    """The project, in a folder where its files may change."""
    home, shop.home = shop.home, tmp_path / "project"
    shutil.copytree(home, shop.home, ignore=shutil.ignore_patterns("__pycache__"))
    yield shop
    shop.home = home


def change(copied: FlaskProject) -> None:
    """From now on `who` returns its number as a negative one."""
    file = copied.home / "shop.py"
    file.write_text(
        file.read_text().replace("return os.getpid()\n\n\ndef create_app", "return -os.getpid()\n\n\ndef create_app")
    )


def test_the_reloader_s_parent_runs_nothing_and_its_child_runs_jobs_until_the_code_changes(copied: FlaskProject) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    web = copied.begin(*FLASK, "run", "--debug", "--port", str(port), **QUICK)
    serves(base)
    order(copied, base)
    first = result(copied, create(copied, "who", {}))
    assert first in pids(web.pid)
    assert copied.query("select count(*) from steve.process") == [(1,)]
    assert copied.output(web).count("steve: the reloader runs no jobs") == 1
    change(copied)
    until(lambda: first not in pids(web.pid), timeout=60)
    second = -result(copied, create(copied, "who", {}))
    assert second in pids(web.pid), "the child with the new code"
    with_children(web.pid, signal.SIGTERM)
    web.wait(30)


def test_without_the_reloader_the_one_process_runs_jobs_in_debug_mode_too(shop: FlaskProject) -> None:
    port = free_port()
    web = shop.begin(*FLASK, "run", "--debug", "--no-reload", "--port", str(port))
    assert result(shop, create(shop, "who", {})) == web.pid
    web.send_signal(signal.SIGTERM)
    web.wait(30)
    assert "no jobs" not in shop.output(web)


def test_other_commands_run_no_jobs_and_workers_do(shop: FlaskProject) -> None:
    uid = create(shop, "who", {})
    said = shop.run(*FLASK, "routes")
    assert "steve: only `" in said
    assert "/jobs/<uuid:uid>" in said
    assert status(shop, uid) == "pending"
    worker = shop.begin(*FLASK, "steve", "worker", "--processes", "2", **QUICK)
    until(lambda: shop.query("select count(*) from steve.process") == [(2,)])
    assert result(shop, uid) not in (worker.pid, os.getpid())
    shop.ends(worker)
    assert "Traceback" not in shop.output(worker)


def test_the_number_of_processes_may_come_from_the_environment_which_its_processes_have_too(
    shop: FlaskProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_STEVE_WORKER_PROCESSES", "2")
    worker = shop.begin(*FLASK, "steve", "worker", **QUICK)
    until(lambda: shop.query("select count(*) from steve.process") == [(2,)])
    shop.ends(worker)


def test_a_worker_begins_anew_with_the_new_code_when_its_running_job_has_ended(copied: FlaskProject, tmp_path: Path) -> None:
    begun, until_gone = tmp_path / "begun", tmp_path / "hold"
    until_gone.touch()
    uid = create(copied, "hold", {"begun": str(begun), "until_gone": str(until_gone)})
    worker = copied.begin(*FLASK, "steve", "worker", "--reload", **QUICK)
    first = int(until(lambda: begun.exists() and begun.read_text()))
    change(copied)
    until(lambda: "stopping: got SIGTERM" in copied.output(worker))  # before that, the old process would take one more
    late = create(copied, "who", {})
    assert (status(copied, uid), status(copied, late)) == ("running", "pending")
    until_gone.unlink()
    assert result(copied, uid) == first
    assert result(copied, late) < 0, "the new code"
    assert copied.query("select attempts, crashes from steve.job") == [(1, 0)] * 2
    copied.ends(worker)


def test_a_job_that_outlives_the_stop_timeout_of_a_reload_runs_again_with_the_new_code(
    copied: FlaskProject, tmp_path: Path
) -> None:
    """Also if the code cannot be imported in between."""
    begun, until_gone = tmp_path / "begun", tmp_path / "hold"
    until_gone.touch()
    uid = create(copied, "hold", {"begun": str(begun), "until_gone": str(until_gone)})
    worker = copied.begin(*FLASK, "steve", "worker", "--reload", "--stop-timeout", "0.2", **QUICK)
    first = int(until(lambda: begun.exists() and begun.read_text()))
    file = copied.home / "shop.py"
    right = file.read_text()
    file.write_text("this is no Python")
    until(lambda: "ended with the code" in copied.output(worker))
    begun.unlink()
    file.write_text(right)
    second = int(until(lambda: begun.exists() and begun.read_text(), timeout=RESCUED))
    assert second != first
    until_gone.unlink()
    assert result(copied, uid) == second
    copied.ends(worker)


def test_a_task_creates_its_successor_in_its_own_app(shop: FlaskProject) -> None:
    ((number,),) = shop.query("insert into shop_order (name, shipped) values ('tea', 0) returning id")
    create(shop, "shop.send", {"order": number, "more": 2})
    shop.run("-m", "flask", "--app", "shop", "steve", "worker", "--burst")
    assert [json.loads(json.dumps(row)) for row in shop.query("select result, queue from steve.job order by uid")] == [
        ["tea", "default"],
        ["tea", "mail"],
        ["tea", "mail"],
    ]
