"""/ready says 503 while a manager does not do its work, whatever keeps it from that, and 200 when it does it again."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable

import psycopg
import pytest

from steve import JobManager
from steve._model.tuning import Tuning
from steve.contrib.http import serve
from tests.behaviour.proxy import Proxy
from tests.conftest import until
from tests.contrib.seen.conditions import CONDITIONS, WORKERS, Condition, Site, handlers

SOON = {"unhealthy_after": 0.3, "health_check": 0.05, "look_interval": 0.1, "expiry_check": 0.1, "backoff_most": 0.2}
"""Trouble counts after a moment, and loops that wait for its end try often."""


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
def test_ready_turns_and_turns_back(
    condition: Condition,
    proxy: Proxy,  # is still there when the manager is stopped
    make_manager: Callable[..., JobManager],
    conn: psycopg.Connection,
    schema: str,
    gate: threading.Event,
) -> None:
    tuning = Tuning(**SOON | condition.tuning)
    manager = make_manager(
        proxy.conninfo,
        handlers=handlers(gate) if condition.handlers else None,
        poll_interval=0.1, heartbeat=0.1, lease=60.0, stuck_after=0.05, create_timeout=30.0,
        _tuning=tuning,
    )  # fmt: skip
    manager.start(WORKERS)
    with serve(manager, 0) as endpoint:
        until(lambda: get(endpoint.port, "/ready") == (200, "ok\n"))
        with condition.make(Site(manager, proxy, conn, schema, gate, tuning)):
            until(lambda: (answer := get(endpoint.port, "/ready"))[0] == 503 and re.search(condition.says, answer[1]))
            assert get(endpoint.port, "/live")[0] == 200
        until(lambda: get(endpoint.port, "/ready") == (200, "ok\n"))
