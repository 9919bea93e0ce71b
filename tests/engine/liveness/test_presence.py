"""How a process describes itself for its row: its pace, and what happens if that fails."""

import logging

import pytest

from steve._engine.liveness.presence import DescribeProcess, Pace, Working
from steve._engine.work.handlers import Handlers
from steve._engine.work.running import RunningJobs
from steve._model.settings import Settings
from steve.health import Health
from tests.clock import Clock


class Broken:
    """An engine whose health cannot be told."""

    stopping = False

    def health(self) -> Health:
        raise RuntimeError("no health")


def test_the_pace_is_a_mean_over_the_last_heartbeats() -> None:
    clock, ended = Clock(), [0]
    pace = Pace(lambda: ended[0], clock=clock)
    assert pace.now() is None
    clock.now += 0.1
    assert pace.now() is None, "too short a time"
    clock.now, ended[0] = clock.now + 9.9, 100
    assert pace.now() == pytest.approx(10.0)
    clock.now += 5.0
    assert pace.now() == pytest.approx(5.0), "none ended in the last five seconds"


def test_a_process_that_cannot_be_described_beats_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    describe = DescribeProcess(
        settings=Settings(),
        handlers=Handlers(None, {}),
        running=RunningJobs(workers=2),
        engine=Broken(),
        working=lambda: Working([], 0, alone=False),
        ended=lambda: 0,
    )
    caplog.set_level(logging.ERROR, "steve")
    try:
        assert describe.now() is None
    except RuntimeError:
        pytest.fail("then no heartbeat would be written")
    assert "no health" in caplog.text
