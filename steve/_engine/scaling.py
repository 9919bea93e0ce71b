"""`JobManager.scale()` and `quiet()`: change the pools of the engine that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steve._engine.runner import Runner
from steve._model.pools import parse_pools
from steve._model.settings import Settings
from steve._runtime.log import logger
from steve.errors import NotRunning
from steve.run import uninterrupted

if TYPE_CHECKING:
    from steve._engine.engine import Engine


class Scaling:
    """Each method raises what the method of `JobManager` with the same name raises."""

    def __init__(self, *, runner: Runner, settings: Settings) -> None:
        self._runner = runner
        self._queues = settings.queues

    def scale(self, workers: object) -> None:
        specs = parse_pools(workers, self._queues)
        with uninterrupted():
            self._runner.scale(self._engine("scale"), specs)
        logger.info("scaled: %d workers", sum(spec.workers for spec in specs))

    def quiet(self) -> None:
        with uninterrupted():
            engine = self._engine("quiet")
            was_quiet = not engine.all_pools.live()
            engine.all_pools.scale([])
        if not was_quiet:
            logger.info("quiet: no more jobs are claimed until scale() or start() is called")

    def _engine(self, name: str) -> Engine:
        engine = self._runner.engine()
        if engine is None:
            raise NotRunning(f"{name}() was called on a manager that is not running: call start() first")
        if not engine.has_begun:
            raise NotRunning(f"{name}() was called while start() was under way: call it again when that has returned")
        return engine
