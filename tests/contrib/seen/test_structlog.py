"""steve.contrib.structlog with a logger that keeps what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from steve import Job, JobManager
from steve.contrib.structlog import instrument
from steve.testing import drain


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """What was logged, each line as a dict."""
    capture = structlog.testing.LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture.entries
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()


def test_each_line_of_a_handler_and_of_a_listener_says_which_job_it_is_about(manager: JobManager, lines: list[Any]) -> None:
    log = structlog.get_logger()

    def handler(job: Job) -> None:
        log.info("sending")
        if job.attempts == 1:
            raise ValueError("no")

    manager.set_handler("welcome", handler)
    manager.on_success("welcome", lambda job: log.info("done"))
    instrument(manager)
    with manager:
        job = manager.create("welcome", max_attempts=2, backoff_strategy="none")
        manager.wait(job, 60)
    about = {"job_uid": str(job.uid), "job_type": "welcome", "log_level": "info"}
    assert lines == [
        {"event": "sending", "job_attempt": 1, **about},
        {"event": "sending", "job_attempt": 2, **about},
        {"event": "done", "job_attempt": 2, **about},
    ]


def test_the_callers_own_variables_are_there_again_after_a_drain(manager: JobManager, lines: list[Any]) -> None:
    structlog.contextvars.bind_contextvars(job_type="mine", request="7")
    manager.set_handler("welcome", lambda job: None)
    manager.on_success("welcome", lambda job: None)
    remove = instrument(manager)
    manager.create("welcome")
    drain(manager)
    remove()
    assert structlog.contextvars.get_contextvars() == {"job_type": "mine", "request": "7"}


def test_what_instrument_returns_ends_it(manager: JobManager, lines: list[Any]) -> None:
    manager.set_handler("welcome", lambda job: structlog.get_logger().info("sending"))
    remove = instrument(manager)
    remove()
    manager.create("welcome")
    drain(manager)
    assert lines == [{"event": "sending", "log_level": "info"}]
