"""When a listener is told that jobs wait for too long, and when that is over."""

import pytest

from steve._engine.events.latency_listeners import LatencyListeners, LatencyWatch
from steve.stats import QueueLatency


def test_it_is_told_once_and_is_over_only_well_below() -> None:
    watch = LatencyWatch(over=10.0, queue=None, callback=print)
    lane = ("default", "a")
    told = [watch.judge(seconds, lane) for seconds in (0.0, 10.0, 10.1, 50.0, 9.0, 5.1, 5.0, 9.0, 11.0)]
    assert [None if one is None else (one.is_over, one.seconds) for one in told] == [
        None, None, (True, 10.1), None, None, None, (False, 5.0), None, (True, 11.0),
    ]  # fmt: skip


def test_what_a_listener_raises_is_logged_and_a_removed_one_is_not_called(caplog: pytest.LogCaptureFixture) -> None:
    listeners = LatencyListeners()
    told: list[QueueLatency] = []

    def bad(latency: QueueLatency) -> None:
        told.append(latency)
        raise KeyboardInterrupt

    remove = listeners.add(1.0, None, bad)
    (watch,) = listeners.all()
    latency = QueueLatency(True, 2.0, 1.0, None, ("default", "a"))
    listeners.tell(watch, latency)
    assert told == [latency]
    assert "a listener raised" in caplog.text
    remove()
    listeners.tell(watch, latency)
    assert told == [latency]
