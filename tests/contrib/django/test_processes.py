"""Processes of a project: workers, web servers, and what becomes of their jobs when they die."""

import json
import math
import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from uuid import UUID

import pytest

from steve import JobManager
from tests.conftest import until
from tests.contrib.django.projects import Project, with_children
from tests.docs.pages import how_to
from tests.ports import free_port

QUICK = {"STEVE": {"lease": 10.0, "heartbeat": 0.3, "poll_interval": 0.2}}
"""A process that is gone, which others notice within ten seconds, loses its jobs, and one that only has to wait does not."""
RESCUED = 90.0
"""How many seconds a test waits for the jobs of a process that is gone."""


def order(shop: Project, name: str = "tea") -> int:
    return int(shop.query("insert into shop_order (name, shipped) values (%s, 0) returning id", name)[0][0])


def shipped(shop: Project, number: int) -> int:
    return int(shop.query("select shipped from shop_order where id = %s", number)[0][0])


def create(shop: Project, type: str, payload: dict[str, object], **options: object) -> UUID:
    manager = JobManager(shop.conninfo)
    try:
        return manager.create(type, payload, **options).uid  # type: ignore[arg-type]
    finally:
        manager.stop()


def status(shop: Project, uid: object) -> str:
    found = shop.query("select status from steve.job where uid = %s", uid)
    return str(found[0][0]) if found else "gone"


def held(tmp_path: Path, shop: Project, **options: object) -> tuple[UUID, Path, Path, int]:
    """A job that runs until its file is gone."""
    begun, until_gone, number = tmp_path / "begun", tmp_path / "hold", order(shop)
    until_gone.touch()
    payload = {"begun": str(begun), "until_gone": str(until_gone), "order": number}
    return create(shop, "hold", payload, **options), begun, until_gone, number


def test_a_worker_runs_jobs_until_sigterm(shop: Project) -> None:
    worker = shop.begin("manage.py", "steve", "worker", "--workers", "mail:1;*:2")
    number = order(shop)
    uid = create(shop, "ship", {"order": number})
    until(lambda: status(shop, uid) == "completed")
    shop.ends(worker)
    assert shipped(shop, number) == 1


def test_a_burst_does_all_that_is_due_and_what_that_creates_and_then_ends(shop: Project) -> None:
    number = order(shop)
    uids = [create(shop, "ship", {"order": number}) for _ in range(5)]
    chain = create(shop, "shop.jobs.send", {"order": number, "more": 3}, queue="mail")
    later = create(shop, "ship", {"order": number}, delay=3600)
    bad = create(shop, "fail", {}, max_attempts=1)
    shop.manage("steve", "worker", "--burst", "--workers", "3")
    assert [status(shop, uid) for uid in [*uids, chain]] == ["completed"] * 6
    assert shop.query("select count(*) from steve.job where queue = 'mail' and status = 'completed'") == [(4,)]
    assert (status(shop, later), status(shop, bad)) == ("pending", "failed")


def test_only_the_jobs_of_some_queues(shop: Project) -> None:
    number = order(shop)
    mail = create(shop, "shop.jobs.send", {"order": number, "more": 0}, queue="mail")
    other = create(shop, "ship", {"order": number})
    shop.manage("steve", "worker", "--burst", "--queues", "mail")
    assert (status(shop, mail), status(shop, other)) == ("completed", "pending")
    shop.manage("steve", "worker", "--burst", "--queues=-mail", "--workers", "1")
    assert status(shop, other) == "completed"


def test_the_code_says_that_a_limit_was_reached(shop: Project) -> None:
    number = order(shop)
    uids = [create(shop, "ship", {"order": number}) for _ in range(4)]
    shop.manage("steve", "worker", "--max-jobs", "3", "--workers", "1", code=75)
    assert sorted(status(shop, uid) for uid in uids) == ["completed"] * 3 + ["pending"]


def test_a_job_of_a_worker_that_was_killed_runs_again(shop: Project, tmp_path: Path) -> None:
    uid, begun, until_gone, number = held(tmp_path, shop)
    first = shop.begin("manage.py", "steve", "worker", **QUICK)
    until(lambda: begun.exists() and begun.read_text())
    with_children(first.pid, signal.SIGKILL)
    first.wait(30)
    begun.unlink()
    second = shop.begin("manage.py", "steve", "worker", **QUICK)
    until(lambda: begun.exists() and begun.read_text(), timeout=RESCUED)
    until_gone.unlink()
    until(lambda: status(shop, uid) == "completed")
    shop.ends(second)
    assert shipped(shop, number) == 1
    assert shop.query("select crashes, attempts from steve.job where uid = %s", uid) == [(1, 2)]


def test_several_processes_of_which_one_that_dies_is_replaced(shop: Project, tmp_path: Path) -> None:
    uid, begun, until_gone, number = held(tmp_path, shop)
    parent = shop.begin("manage.py", "steve", "worker", "--processes", "2", "--workers", "1", **QUICK)
    until(lambda: shop.query("select count(*) from steve.process") == [(2,)])
    pid = int(until(lambda: begun.exists() and begun.read_text()))
    assert pid != parent.pid
    os.kill(pid, signal.SIGKILL)
    begun.unlink()
    assert int(until(lambda: begun.exists() and begun.read_text(), timeout=RESCUED)) not in (pid, parent.pid)
    until_gone.unlink()
    until(lambda: status(shop, uid) == "completed")
    until(lambda: shop.query("select count(*) from steve.process where heartbeat_at > now() - interval '2 s'") == [(2,)])
    shop.ends(parent)
    assert shipped(shop, number) == 1
    assert "ended with the code -9" in shop.output(parent)


def test_the_processes_of_a_parent_that_was_killed_stop_by_themselves(shop: Project) -> None:
    parent = shop.begin("manage.py", "steve", "worker", "--processes", "2", "--workers", "1")
    until(lambda: shop.query("select count(*) from steve.process") == [(2,)])
    os.kill(parent.pid, signal.SIGKILL)
    until(lambda: shop.query("select count(*) from steve.process") == [(0,)])


def test_processes_end_when_a_burst_is_over_and_when_a_limit_is_reached_another_begins(shop: Project) -> None:
    number = order(shop)
    uids = [create(shop, "ship", {"order": number}) for _ in range(6)]
    shop.manage("steve", "worker", "--burst", "--processes", "2", "--max-jobs", "2", "--workers", "1")
    assert [status(shop, uid) for uid in uids] == ["completed"] * 6


def test_a_worker_begins_anew_when_its_code_changes_and_does_not_wait_for_ever(shop: Project, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    subprocess.run(["cp", "-r", str(shop.home), str(copy)], check=True)
    home, shop.home = shop.home, copy
    try:
        uid, begun, until_gone, _ = held(tmp_path, shop)
        worker = shop.begin("manage.py", "steve", "worker", "--reload", "--stop-timeout", "1", **QUICK)
        first = until(lambda: begun.exists() and begun.read_text())
        begun.unlink()
        time.sleep(3)  # Django's reloader looks once a second, and says nothing of its first look
        jobs, changed_at = copy / "shop" / "jobs.py", -math.inf

        def second_process() -> object:
            """Changes the code again if nothing comes of it for long: the first look may have come after the change."""
            nonlocal changed_at
            if time.monotonic() - changed_at > 25:
                changed_at = time.monotonic()
                jobs.write_text(jobs.read_text() + "\n# changed\n")
            return (begun.exists() and begun.read_text()) or worker.poll()

        second = until(second_process, timeout=RESCUED)
        assert first != second, "the job of the process that did not wait runs again"
        until_gone.unlink()
        until(lambda: status(shop, uid) == "completed")
        with_children(worker.pid, signal.SIGTERM)
        worker.wait(30)
    finally:
        shop.home = home


def test_prune_health_and_migrate(shop: Project) -> None:
    number = order(shop)
    uid = create(shop, "ship", {"order": number})
    shop.manage("steve", "worker", "--burst")
    assert shop.manage("steve", "prune", "--older-than", "1h") == "0 jobs deleted\n"
    assert shop.manage("steve", "prune", "--older-than", "0s", "--status", "completed", "--type", "ship") == "1 jobs deleted\n"
    assert status(shop, uid) == "gone"
    assert shop.manage("steve", "health") == "ok\n"
    assert shop.manage("steve", "migrate", "--contract") == "-- nothing to do\n"
    other = {"STEVE": {"schema": "other"}}
    assert "is missing" in shop.manage("steve", "health", code=1, **other)
    assert "manage.py migrate" in shop.manage("steve", "worker", code=1, **other)
    assert "create table" in shop.manage("steve", "migrate", "--dry-run", **other)


WRONG = [
    (["worker", "--workers", "0"], "workers"),
    (["worker", "--workers", "mail"], "mail"),
    (["worker", "--workers", "mail:1", "--queues", "x"], "--queues"),
    (["worker", "--reload", "--processes", "2"], "--reload"),
    (["worker", "--max-jobs", "0"], "max_jobs"),
    (["worker", "--max-memory", "-1"], "max_memory"),
    (["worker", "--stop-timeout", "-1"], "stop_timeout"),
    (["worker", "--processes", "none"], "invalid int value"),
    (["prune"], "--older-than"),
    (["prune", "--older-than", "2 weeks"], "30d"),
    ([], "COMMAND"),
    (["nothing"], "invalid choice"),
]
"""Arguments, and a word of what is said about them."""


def test_a_wrong_argument_is_one_line(shop: Project) -> None:
    said = json.loads(shop.run("calls.py", json.dumps([arguments for arguments, _ in WRONG])))
    for (arguments, words), text in zip(WRONG, said, strict=True):
        assert words in text, arguments
        assert "Traceback" not in text, arguments


# -- web servers -----------------------------------------------------------------------------------------------------------


def get(url: str, **data: str) -> dict[str, object] | None:
    """What the server answers; None: it failed, or is not there yet."""
    body = urllib.parse.urlencode(data).encode() if data else None
    try:
        with urllib.request.urlopen(url, body, timeout=60) as answer:
            found: dict[str, object] = json.load(answer)
            return found
    except OSError:
        return None


@pytest.mark.parametrize(
    "server",
    [
        ["-m", "gunicorn", "site_.wsgi", "--workers", "2", "--threads", "2", "--bind", "127.0.0.1:{port}"],
        ["manage.py", "runserver", "{port}"],
    ],
    ids=["gunicorn", "runserver"],
)
def test_a_web_server_creates_jobs_in_the_transactions_of_its_views(shop: Project, server: list[str]) -> None:
    port = free_port()
    web = shop.begin(*(word.format(port=port) for word in server))
    base = f"http://127.0.0.1:{port}"
    until(lambda: get(f"{base}/jobs/0198f000-0000-7000-8000-000000000000/"), timeout=60)
    assert get(f"{base}/order/", name="tea", fail="1") is None
    assert shop.query("select count(*) from steve.job") == [(0,)]
    answer = get(f"{base}/order/", name="tea")
    assert answer is not None
    assert get(f"{base}/jobs/{answer['job']}/") == {"status": "pending"}
    shop.manage("steve", "worker", "--burst")
    assert get(f"{base}/jobs/{answer['job']}/") == {"status": "completed"}
    assert shipped(shop, int(str(answer["order"]))) == 1
    with_children(web.pid, signal.SIGTERM)
    web.wait(30)


def test_gunicorn_s_workers_run_jobs_and_let_them_end(shop: Project, tmp_path: Path) -> None:
    """With the configuration of the page, whose hooks outlive --timeout and --max-requests."""
    (block,) = [block for block in how_to("django").files() if block.file == "gunicorn.conf.py"]
    (tmp_path / "gunicorn.conf.py").write_text(block.text)
    port = free_port()
    uid, begun, until_gone, number = held(tmp_path, shop)
    web = shop.begin(
        *("-m", "gunicorn", "site_.wsgi", "--config", str(tmp_path / "gunicorn.conf.py"), "--bind", f"127.0.0.1:{port}"),
        *("--timeout", "8", "--max-requests", "1"),  # less is too little to import Django in, on a busy machine
        **QUICK,
    )
    until(lambda: begun.exists() and begun.read_text(), timeout=60)
    until(lambda: get(f"http://127.0.0.1:{port}/order/", name="tea"), timeout=60)
    until(lambda: "Autorestarting worker" in shop.output(web) and "Worker exiting" in shop.output(web))
    time.sleep(11)  # gunicorn would kill the process after 8 s, and again after 1 s more
    web.send_signal(signal.SIGTERM)
    until(lambda: "Handling signal: term" in shop.output(web))
    assert status(shop, uid) == "running"
    until_gone.unlink()
    assert web.wait(60) == 0, shop.output(web)
    assert shop.query("select status, crashes from steve.job where uid = %s", uid) == [("completed", 0)]
    assert shipped(shop, number) == 1
