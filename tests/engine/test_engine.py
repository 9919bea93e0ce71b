"""What the engine as a whole is told from outside, and passes to its parts."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from steve import Job, Status, current_run
from steve._engine.engine import Engine
from steve._engine.parts import Parts
from steve._model.settings import Settings
from tests.conftest import until
from tests.engine.claim.harness import claimed
from tests.engine.work.harness import PoolHarness


class Handling:
    """A worker pool with one worker, whose handler waits for its signal."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.cancelled: list[bool] = []
        self.harness = PoolHarness(1, self.handle)
        self.engine = Engine(process="host:1", process_id=1, settings=Settings(), own_threads=threading.local())
        duties = SimpleNamespace(buffered=self.harness.buffer.jobs)
        parts: Any = SimpleNamespace(running=self.harness.running, duties=duties, pools=None, commits=None)
        self.engine.assemble(cast(Parts, parts))

    def handle(self, job: Job) -> None:
        self.begun.append(job.uid.int)
        this = current_run()
        this.wait(60)
        self.cancelled.append(this.cancelled)


@pytest.fixture
def handling() -> Iterator[Handling]:
    handling = Handling()
    yield handling
    handling.harness.stop()


def test_a_cancel_reaches_the_run_of_that_job_and_the_jobs_that_have_not_begun(handling: Handling) -> None:
    harness = handling.harness
    harness.start(claimed(1))
    until(lambda: handling.begun == [1])
    harness.buffer.add([claimed(2), claimed(3)], seconds_each=1.0)
    handling.engine.cancel_asked([claimed(2).uid, claimed(9).uid])
    assert handling.cancelled == []
    handling.engine.cancel_asked([claimed(1).uid])
    until(lambda: handling.begun == [1, 3])
    assert handling.cancelled == [True]
    handling.engine.cancel_asked({claimed(3).uid})
    until(lambda: len(harness.queue) == 3)
    verdicts = {verdict.job.uid.int: verdict for verdict in harness.stop()}
    assert handling.begun == [1, 3]
    assert handling.cancelled == [True, True]
    assert verdicts[2].goes_back
    assert verdicts[1].status is Status.COMPLETED, "the settlement decides, not the signal"
