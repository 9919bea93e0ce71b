"""Forks: in the child the manager is one that was never started, and in the parent it goes on unharmed."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from steve import ForkedProcessError, Job, JobManager, Status
from steve._engine.events.health_listeners import HealthListeners
from steve._engine.health import STOPPED
from tests.conftest import APPLICATION, until
from tests.ports import free_port

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def fork() -> int:
    """Fork a child that ends within two minutes, even if it comes back out of a handler and goes on as the test."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(120)
    return pid


def in_child(work: Callable[[], object]) -> int:
    """Fork. The child calls `work` and ends without pytest noticing. Returns its status: 0 if nothing was raised."""
    pid = fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:
            os.write(2, f"in the child: {error!r}\n".encode())
        finally:
            os._exit(status)
    return ended_with(pid)


def ended_with(pid: int) -> int:
    """The status of a child. It is killed if it hangs."""
    found: list[int] = []

    def ended() -> bool:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            found.append(os.waitstatus_to_exitcode(status))
        return bool(found)

    try:
        until(ended, timeout=120)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return found[0]


LAST_CALL = """
select pid
from pg_stat_activity
where application_name = %s and strpos(query, %s) > 0 and strpos(query, 'where uid = any(') > 0
order by query_start desc
limit 1
"""
"""The session of the last find()."""


def test_a_child_creates_jobs_and_the_parent_goes_on_with_its_own_connections(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(handler=lambda job: job.payload)
    manager.start()
    first = manager.create("a", {"n": 0})
    until(lambda: manager.find(first).status is Status.COMPLETED)
    before = conn.execute(LAST_CALL, [APPLICATION, schema]).fetchall()
    assert len(before) == 1

    def work() -> None:
        for n in range(1, 4):
            job = manager.create("a", {"n": n})
            assert manager.find(job) is not None
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(warnings) == 1, warnings
        assert "started before this process was forked off" in warnings[0]
        assert manager.stop().complete

    assert in_child(work) == 0
    until(lambda: [job.result for job in manager.fetch_all("completed")] == [{"n": n} for n in (3, 2, 1, 0)])
    manager.find(first)
    assert conn.execute(LAST_CALL, [APPLICATION, schema]).fetchall() == before
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_manager_that_was_never_started_says_nothing(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        manager.create("a")
        assert [record for record in caplog.records if record.levelname == "WARNING"] == []

    assert in_child(work) == 0
    assert len(manager.fetch_all()) == 1


def test_a_child_may_start_the_manager_and_run_jobs(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(handler=lambda job: os.getpid(), queues=["child"])
    manager.start()
    job = manager.create("a", queue="other")
    manager.stop()

    def work() -> None:
        manager.start()
        done = manager.create("a", queue="child")
        until(lambda: manager.find(done).status is Status.COMPLETED)
        assert manager.find(done).result == os.getpid()
        assert manager.stop().complete

    assert in_child(work) == 0
    assert manager.find(job).status is Status.PENDING


def test_ten_thousand_queries_beside_children_that_query_too_get_the_right_rows(manager: JobManager) -> None:
    jobs = [manager.create("a", {"n": n}) for n in range(10)]
    children = []
    for _ in range(4):
        pid = fork()
        if pid == 0:
            status = 1
            try:
                wrong = sum(manager.find(job) != job for _ in range(200) for job in jobs)
                status = int(wrong > 0)
            finally:
                os._exit(status)
        children.append(pid)
    wrong = sum(manager.find(job) != job for _ in range(200) for job in jobs)
    assert [ended_with(pid) for pid in children] == [0] * 4
    assert wrong == 0


def test_with_a_pool_of_the_user_every_call_in_the_child_says_so(
    make_manager: Callable[..., JobManager], database_url: str
) -> None:
    with ConnectionPool(database_url, min_size=0, max_size=5, open=True) as pool:
        manager = make_manager(pool)
        manager.migrate()
        job = manager.create("a")

        def work() -> None:
            calls: list[Callable[[], object]] = [
                lambda: manager.create("a"), lambda: manager.create_many([("a", None)]), lambda: manager.find(job),
                lambda: manager.history(job), manager.fetch_all, manager.migrate, manager.start,
            ]  # fmt: skip
            for call in calls:
                with pytest.raises(ForkedProcessError, match="make a pool and a manager here"):
                    call()

        assert in_child(work) == 0
        assert manager.fetch_all() == [job]
        manager.stop()


@pytest.mark.parametrize(("end", "status"), [("return", 0), ("raise", 1), ("exit", 3), ("_exit", 4)])
def test_a_handler_that_forks_has_one_run_however_its_child_ends(
    end: str, status: int, make_manager: Callable[..., JobManager], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(job: Job) -> int | None:
        pid = fork()
        if pid:
            return ended_with(pid)
        manager.create("b", {"from": "the child"}, queue="child")
        if end == "raise":
            raise ZeroDivisionError
        if end == "exit":
            sys.exit(3)
        if end == "_exit":
            os._exit(4)
        return None

    manager = make_manager(handler=handler, queues=["default"])
    told: list[Job] = []
    manager.on_done(None, told.append)
    manager.start()
    jobs = manager.create_many([("a", {"n": n}) for n in range(3)])
    until(lambda: len(told) == 3, timeout=60)
    assert manager.stop().complete
    assert [manager.find(job).result for job in jobs] == [status] * 3
    assert [[attempt.status for attempt in manager.history(job)] for job in jobs] == [["success"]] * 3
    assert len(manager.fetch_all(queue="child")) == 3


def test_a_listener_that_forks_is_told_once(make_manager: Callable[..., JobManager]) -> None:
    told: list[int] = []

    def listener(job: Job) -> None:
        if pid := fork():
            told.append(ended_with(pid))
        else:
            manager.create("b", {"from": "the child"}, queue="child")

    manager = make_manager(handler=lambda job: None, queues=["default"])
    manager.on_done(None, listener)
    manager.start()
    manager.create_many([("a", None)] * 3)
    until(lambda: len(told) == 3, timeout=60)
    assert manager.stop().complete
    assert told == [0] * 3
    assert len(manager.fetch_all(queue="child")) == 3


def create_one(url: str, schema: str, manager: JobManager | None = None) -> None:
    """In a process that multiprocessing started."""
    mine = manager or JobManager(url, schema=schema)
    mine.create("a")
    mine.stop()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_works_either_way(
    method: str, make_manager: Callable[..., JobManager], database_url: str, schema: str
) -> None:
    manager = make_manager()
    manager.start()
    context = multiprocessing.get_context(method)
    arguments = (database_url, schema, manager) if method == "fork" else (database_url, schema)
    children = [context.Process(target=create_one, args=arguments) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    assert len(manager.fetch_all()) == 2


LEAVES_A_CHILD = """
import os, sys
from steve import JobManager
manager = JobManager({url!r}, handler=lambda job: None, schema={schema!r})
manager.start()
child = os.fork()
if child == 0:
    sys.stdin.read()  # lives until the test ends it
    os._exit(0)
print(child, flush=True)
sys.stdin.read()
"""


def test_the_death_of_a_parent_is_noticed_while_its_child_lives_on(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    """A session ends when the last process closes its socket, and a child inherits all sockets of its parent."""
    make_manager().migrate()
    program = LEAVES_A_CHILD.format(url=database_url, schema=schema)
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        try:
            child = int(parent.stdout.readline())
            ((session,),) = conn.execute(
                f"select pid from pg_locks, {schema}.process where locktype = 'advisory' and locked"
                " and (classid::bigint << 32 | objid::bigint) = hashtextextended(%s || id, 0)",
                [f"steve {schema} "],
            ).fetchall()
            parent.kill()
            until(lambda: not conn.execute("select from pg_stat_activity where pid = %s", [session]).fetchall())
            os.kill(child, 0)  # it works
        finally:
            parent.kill()
            parent.stdin.close()


SHOP = """
import os
from steve import JobManager
manager = JobManager({url!r}, handler=lambda job: os.getpid(), schema={schema!r})
manager.migrate()  # used before the fork with --preload
def app(environ, start_response):
    job = manager.create("a")
    start_response("202 Accepted", [])
    return [str(job.uid).encode()]
"""
HOOK = """
def post_worker_init(worker):
    from shop import manager
    manager.start()
"""


@pytest.mark.parametrize("preload", [True, False])
def test_gunicorns_processes_do_jobs(
    preload: bool, tmp_path: Path, make_manager: Callable[..., JobManager], database_url: str, schema: str
) -> None:
    pytest.importorskip("gunicorn")
    manager = make_manager(queues=["none"])
    manager.migrate()
    (tmp_path / "shop.py").write_text(SHOP.format(url=database_url, schema=schema))
    (tmp_path / "gunicorn.conf.py").write_text(HOOK)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{port}", "shop:app"]
    log = (tmp_path / "log").open("w+")
    server = subprocess.Popen([*command, *(["--preload"] if preload else [])], cwd=tmp_path, stdout=log, stderr=log)
    try:
        until(lambda: answers(port), timeout=60)
        for _ in range(10):
            assert answers(port)
        until(lambda: len(manager.fetch_all("completed")) == len(manager.fetch_all()), timeout=60)
    finally:
        server.terminate()
        server.wait(20)
        log.seek(0)
        said = log.read()
        log.close()
    assert {job.attempts for job in manager.fetch_all()} == {1}
    assert not re.search("Traceback|WARNING|ERROR", said), said


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            return answer.status == 202
    except OSError:
        return False


def test_a_child_that_a_listener_for_health_forks_ends_there() -> None:
    children: list[int] = []
    watch = HealthListeners()
    watch.add(STOPPED.ok, lambda health: children.append(os.fork()))
    watch.tell(STOPPED)
    assert children[0] > 0  # in the child this line would be reached with 0
    assert ended_with(children[0]) == 0


START_AND_FORK = """
import os, signal, sys, threading
from steve import JobManager

manager = JobManager(sys.argv[1], schema=sys.argv[2])
importing, forking = threading.Event(), threading.Event()

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "steve._engine.wiring":
            importing.set()
            forking.wait()

sys.meta_path.insert(0, Finder())
os.register_at_fork(before=forking.set)
starter = threading.Thread(target=manager.start)
starter.start()
importing.wait()
if (pid := os.fork()) == 0:
    signal.alarm(60)
    manager.start()
    manager.stop()
    os._exit(0)
starter.join()
manager.stop()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_child_may_start_a_manager_although_it_was_forked_while_another_thread_imported_the_engine(
    manager: JobManager, database_url: str, schema: str
) -> None:
    program = [sys.executable, "-W", "ignore", "-c", START_AND_FORK, database_url, schema]
    assert subprocess.run(program, timeout=90).returncode == 0
