"""steve.contrib.prometheus, scraped: in this process, and in multiprocess mode under gunicorn."""

from __future__ import annotations

import re
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from steve import Cancel, Job, JobManager, Snooze
from steve.contrib.prometheus import DatabaseCollector, exposition, instrument
from steve.contrib.prometheus._series import FirstSeries, KeptSeries
from steve.testing import drain
from tests.conftest import until
from tests.contrib.seen.gunicorns import Gunicorn

LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def samples(text: bytes, name: str) -> dict[str, float]:
    """The values of this metric by their labels, as the text has them."""
    return {labels or "": float(value) for found, labels, value in LINE.findall(text.decode()) if found == name}


def test_each_attempt_is_counted_by_its_outcome_and_timed(manager: JobManager) -> None:
    def handler(job: Job) -> None:
        match job.payload.get("what"):
            case "raise":
                raise ValueError("no")
            case "snooze":
                raise Snooze(60)
            case "cancel":
                raise Cancel("not wanted")

    registry = CollectorRegistry()
    manager.set_handler("welcome", handler)
    instrument(manager, registry)
    for what in ("return", "return", "raise", "snooze", "cancel"):
        manager.create("welcome", {"what": what}, queue="mail", max_attempts=1)
    drain(manager, raise_errors=False)
    text = exposition(registry=registry)
    assert samples(text, "steve_attempts_total") == {
        'outcome="success",queue="mail",type="welcome"': 2,
        'outcome="error",queue="mail",type="welcome"': 1,
        'outcome="snoozed",queue="mail",type="welcome"': 1,
        'outcome="cancelled",queue="mail",type="welcome"': 1,
    }
    assert samples(text, "steve_attempt_duration_seconds_count") == {'queue="mail",type="welcome"': 5}


def test_two_managers_share_the_metrics_of_a_registry_and_one_can_end_it(manager: JobManager) -> None:
    registry = CollectorRegistry()
    manager.set_handler("welcome", lambda job: None)
    remove, other = instrument(manager, registry), instrument(JobManager(), registry)
    manager.create("welcome")
    drain(manager)
    remove()
    other()
    manager.create("welcome")
    drain(manager)
    assert samples(exposition(registry=registry), "steve_attempts_total") == {
        'outcome="success",queue="default",type="welcome"': 1
    }


def test_the_database_wide_figures_are_those_of_stats_and_processes(manager: JobManager) -> None:
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(manager, cache=0))
    running, go_on = threading.Event(), threading.Event()

    def handler(job: Job) -> None:
        running.set()
        go_on.wait(60)

    manager.set_handler("slow", handler)
    manager.start(workers=3)
    try:
        manager.create("slow")
        manager.create("nobody", queue="mail")
        assert running.wait(60)
        lane = 'queue="default",status="running",type="slow"'
        text = until(lambda: text if lane in samples(text := generate_latest(registry), "steve_jobs") else None)
        assert samples(text, "steve_jobs") == {lane: 1, 'queue="mail",status="pending",type="nobody"': 1}
        assert samples(text, "steve_oldest_due_seconds")['queue="mail",type="nobody"'] >= 0
        assert (samples(text, "steve_up"), samples(text, "steve_processes")) == ({"": 1}, {"": 1})
        until(lambda: samples(generate_latest(registry), "steve_workers") == {"": 3})
    finally:
        go_on.set()
    manager.stop()
    ended = samples(generate_latest(registry), "steve_jobs_ended")
    assert ended == {'queue="default",status="completed",type="slow"': 1}


def test_an_answer_is_good_for_the_time_of_the_cache(manager: JobManager) -> None:
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(manager, cache=3600))
    before = generate_latest(registry)
    manager.create("welcome")
    assert generate_latest(registry) == before


def test_a_database_that_does_not_answer_is_a_figure_and_no_error() -> None:
    nowhere = JobManager("postgresql://localhost:1/nowhere", create_timeout=0.1)
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(nowhere))  # which asks nothing
    text = generate_latest(registry)
    assert samples(text, "steve_up") == {"": 0}
    assert samples(text, "steve_jobs") == {}


def test_of_two_thousand_lanes_at_most_two_hundred_series_are_shown(manager: JobManager) -> None:
    manager.create_many([(f"type {number:04}", {}) for number in range(2000)] + [("type 0007", {})])
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(manager))
    text = generate_latest(registry)
    jobs, oldest = samples(text, "steve_jobs"), samples(text, "steve_oldest_due_seconds")
    assert (len(jobs), len(oldest)) == (200, 200)
    assert jobs['queue="default",status="pending",type="type 0007"'] == 2
    assert jobs['queue="other",status="pending",type="other"'] == 2001 - 199 - 1
    assert sum(jobs.values()) == 2001


def test_of_two_thousand_types_that_a_process_runs_at_most_two_hundred_series_are_shown() -> None:
    made = FirstSeries(lambda *labels: labels, 195)
    chosen = [made.of("default", f"type {number}", outcome) for number in range(2000) for outcome in ("success", "error")]
    assert len(set(chosen)) == 197
    assert chosen[0] == ("default", "type 0", "success")
    assert chosen[-2:] == [("other", "other", "success"), ("other", "other", "error")]
    assert made.of("default", "type 0", "success") == ("default", "type 0", "success")


@pytest.mark.parametrize(
    ("rounds", "shown"),
    [
        ([{"a": 1, "b": 2}], {"a": 1, "b": 2}),
        ([{"a": 1, "b": 2, "c": 3}], {"a": 1, "b": 2, "c": 3}),
        ([{"a": 1, "b": 2, "c": 3, "d": 4}], {"c": 3, "d": 4, "other": 3}),
        ([{"a": 1}, {"a": 1, "b": 2, "c": 3, "d": 4}], {"a": 1, "d": 4, "other": 5}),  # a stays
        ([{"a": 1}, {"b": 1}, {"a": 1, "b": 1, "c": 3, "d": 4}], {"b": 1, "d": 4, "other": 4}),  # a had gone
        ([{"other": 9, "a": 1, "b": 1, "c": 1}], {"other": 11, "a": 1}),  # a lane with this name
        ([{}], {}),
    ],
)
def test_which_series_are_shown(rounds: list[dict[str, float]], shown: dict[str, float]) -> None:
    def lane(name: str) -> tuple[str, ...]:
        return ("other", "other") if name == "other" else ("q", name)

    series = KeptSeries(3)
    for values in rounds:
        chosen = series.choose({lane(name): float(value) for name, value in values.items()})
    assert chosen == {lane(name): value for name, value in shown.items()}


def test_the_oldest_of_the_others_is_the_oldest_of_them() -> None:
    series = KeptSeries(2, max)
    assert series.choose({("q", "a"): 9.0, ("q", "b"): 5.0, ("q", "c"): 3.0}) == {("q", "a"): 9.0, ("other", "other"): 5.0}


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"cache": "10"}, TypeError, "cache must be a number, not str"),
        ({"cache": True}, TypeError, "cache must be a number, not bool"),
        ({"cache": -1}, ValueError, "cache must be 0 to 3600 seconds, not -1"),
        ({"cache": float("nan")}, ValueError, "cache must be 0 to 3600 seconds, not nan"),
        ({"most_series": 2.5}, TypeError, "most_series must be an int, not float"),
        ({"most_series": 9}, ValueError, "most_series must be 10 to 10,000, not 9"),
    ],
)
def test_arguments_that_cannot_be(keywords: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        DatabaseCollector(JobManager(), **keywords)  # type: ignore[arg-type]


APP = """
import os
import time

from prometheus_client import CONTENT_TYPE_LATEST

from steve import JobManager
from steve.contrib.prometheus import DatabaseCollector, exposition, instrument

manager = JobManager({database!r}, schema={schema!r})


def welcome(job):
    time.sleep(0.05)  # so that the other process has its turn, too
    return os.getpid()


manager.set_handler("welcome", welcome)
instrument(manager)
database = DatabaseCollector(manager, cache=0)


def app(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        body = exposition(database)
    else:
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST), ("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def site(database_url: str, schema: str, tmp_path: Path) -> Iterator[Gunicorn]:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "site_with_metrics.py").write_text(APP.format(database=database_url, schema=schema))
    started = "def post_fork(server, worker):\n    pass\n\n\ndef post_worker_init(worker):\n"
    started += "    from site_with_metrics import manager\n\n    manager.start(workers=1)\n\n\n"
    started += "def worker_exit(server, worker):\n    from site_with_metrics import manager\n\n    manager.stop()\n"
    (tmp_path / "gunicorn.conf.py").write_text(started)
    with Gunicorn(
        tmp_path, "site_with_metrics:app", "--workers", "2", PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics")
    ) as gunicorn:
        yield gunicorn


def test_any_worker_of_gunicorn_shows_the_attempts_of_all(manager: JobManager, site: Gunicorn) -> None:
    until(lambda: len(manager.processes()) == 2)
    ended: list[Job] = []

    def have_both_run_jobs() -> bool:
        ended.extend(manager.wait_all([manager.create("welcome") for _ in range(20)], timeout=60))
        return len({job.result for job in ended}) == 2

    until(have_both_run_jobs)
    for _ in range(8):
        with urllib.request.urlopen(f"{site.url}/metrics", timeout=30) as response:
            text = response.read()
        assert samples(text, "steve_attempts_total") == {'outcome="success",queue="default",type="welcome"': len(ended)}
        assert samples(text, "steve_attempt_duration_seconds_count") == {'queue="default",type="welcome"': len(ended)}
        assert samples(text, "steve_processes") == {"": 2}
        assert text.count(b"# TYPE steve_attempts_total") == 1
