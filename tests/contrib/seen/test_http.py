"""steve.contrib.http, asked with curl, as a kubelet would ask with its own client."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from steve import Health, Job, JobManager
from steve.contrib.http import respond, serve
from steve.contrib.prometheus import instrument
from tests.conftest import until
from tests.docs.pages import how_to

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="these tests need curl")


def probe(port: int, path: str, *options: str) -> tuple[int, str]:
    """The status and the body."""
    url = f"http://127.0.0.1:{port}{path}"
    command = ["curl", "--silent", "--show-error", "--max-time", "10", "--write-out", "\n%{http_code}", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_a_manager_is_alive_before_the_start_and_ready_only_after_it(manager: JobManager) -> None:
    with serve(manager, 0) as endpoint:
        assert probe(endpoint.port, "/live") == (200, "ok\n")
        status, body = probe(endpoint.port, "/ready")
        assert (status, body) == (503, "\n".join(manager.health().problems) + "\n")
        manager.start(workers=1)
        until(lambda: probe(endpoint.port, "/ready") == (200, "ok\n"))
        manager.stop()
        assert probe(endpoint.port, "/ready")[0] == 503
        assert probe(endpoint.port, "/live")[0] == 200


def test_ready_turns_when_the_table_is_gone_and_back(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(handler=lambda job: None, poll_interval=0.1)
    manager.start(workers=1)
    with serve(manager, 0) as endpoint:
        until(lambda: probe(endpoint.port, "/ready")[0] == 200)
        rename = sql.SQL("alter table {} rename to {}")
        conn.execute(rename.format(sql.Identifier(schema, "job"), sql.Identifier("away")))
        _, body = until(lambda: found if (found := probe(endpoint.port, "/ready"))[0] == 503 else None)
        assert body.strip(), "the problems"
        assert probe(endpoint.port, "/live")[0] == 200
        conn.execute(rename.format(sql.Identifier(schema, "away"), sql.Identifier("job")))
        until(lambda: probe(endpoint.port, "/ready")[0] == 200)


def test_it_answers_while_all_workers_are_busy(manager: JobManager) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def handler(job: Job) -> None:
        busy.set()
        go_on.wait(60)

    manager.set_handler("slow", handler)
    manager.start(workers=1)
    try:
        manager.create("slow")
        assert busy.wait(60)
        with serve(manager, 0) as endpoint:
            until(lambda: probe(endpoint.port, "/ready?verbose=1") == (200, "ok\n"))
    finally:
        go_on.set()


def test_metrics_are_those_of_the_process(manager: JobManager) -> None:
    instrument(manager)
    with serve(manager, 0) as endpoint:
        status, body = probe(endpoint.port, "/metrics")
    assert status == 200
    assert "# TYPE steve_attempts_total counter" in body


def test_metrics_of_ones_own_and_their_error(manager: JobManager) -> None:
    answers = [b"mine 1\n"]
    with serve(manager, 0, metrics=answers.pop) as endpoint:
        assert probe(endpoint.port, "/metrics") == (200, "mine 1\n")
        assert probe(endpoint.port, "/metrics") == (500, "IndexError\n")
        assert probe(endpoint.port, "/live") == (200, "ok\n")


def test_other_paths_and_other_methods(manager: JobManager) -> None:
    with serve(manager, 0) as endpoint:
        assert probe(endpoint.port, "/")[0] == 404
        assert probe(endpoint.port, "/live", "--request", "DELETE")[0] == 501
        assert probe(endpoint.port, "/live", "--head")[0] == 200


def test_after_close_nobody_answers_and_the_port_is_free(manager: JobManager) -> None:
    endpoint = serve(manager, 0, host="127.0.0.1")
    endpoint.close()
    endpoint.close()
    with pytest.raises(subprocess.CalledProcessError):
        probe(endpoint.port, "/live")
    with serve(manager, endpoint.port, host="127.0.0.1") as again:
        assert probe(again.port, "/live")[0] == 200


def test_a_port_that_is_taken_is_an_error(manager: JobManager) -> None:
    with serve(manager, 0) as endpoint, pytest.raises(OSError, match="in use"):
        serve(manager, endpoint.port)


@pytest.mark.parametrize(
    ("port", "metrics", "error", "message"),
    [
        ("80", None, TypeError, "port must be an int, not str"),
        (True, None, TypeError, "port must be an int, not bool"),
        (-1, None, ValueError, "port must be 0 to 65,535, not -1"),
        (65_536, None, ValueError, "port must be 0 to 65,535, not 65536"),
        (0, "text", TypeError, "metrics must be callable, not str"),
    ],
)
def test_arguments_that_cannot_be(port: object, metrics: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        serve(JobManager(), port, metrics=metrics)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("health", "path", "status", "body"),
    [
        (Health(True), "/live", 200, "ok\n"),
        (Health(True), "/ready", 200, "ok\n"),
        (Health(False, ("the database is away", "and so on")), "/live", 200, "ok\n"),
        (Health(False, ("the database is away", "and so on")), "/ready", 503, "the database is away\nand so on\n"),
        (Health(False, ("dead",), dead_threads=("steve-claim",)), "/live", 503, "threads have ended: steve-claim\n"),
    ],
)
def test_what_each_state_of_a_manager_is_answered_with(
    monkeypatch: pytest.MonkeyPatch, health: Health, path: str, status: int, body: str
) -> None:
    manager = JobManager()
    monkeypatch.setattr(manager, "health", lambda: health)
    answer = respond(manager, path)
    assert (answer.status, answer.body.decode()) == (status, body)


def test_the_probes_of_the_page_ask_for_what_the_endpoint_of_the_page_answers() -> None:
    page = how_to("probes")
    (probes,) = [block.text for block in page.blocks if block.language == "text"]
    (port,) = {int(port) for port in re.findall(r"port=(\d+)", page.blocks[0].text)}
    asked = re.findall(r"^(\w+)Probe:\n  httpGet: \{path: (\S+), port: (\d+)\}$", probes, re.MULTILINE)
    assert asked == [("liveness", "/live", str(port)), ("readiness", "/ready", str(port))]
    assert [respond(JobManager(), path).status for _, path, _ in asked] == [200, 503]


def test_a_web_framework_gives_the_same_answers() -> None:
    assert respond(JobManager(), "/live") == (200, "text/plain; charset=utf-8", b"ok\n")
