"""What is set up for a run beyond the call of its handler: hooks, a timeout, a log of its own. Most runs have none of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial

from steve._engine.records.attempt_log import AttemptLog
from steve._engine.records.records import Records
from steve._engine.registry import Registry
from steve._engine.work.handlers import Handler
from steve._engine.work.limit import Limit, Limits
from steve._model.claimed import Claimed
from steve._model.settings import Settings
from steve._runtime.capture import captures, sink
from steve._runtime.hooks import Wrap
from steve.job import Job


class Setup:
    """That of one run. It is made, begun and finished on the thread of the run."""

    def __init__(
        self,
        *,
        wraps: Sequence[Wrap] = (),
        context: Context | None = None,
        limits: Limits | None = None,
        records: Records | None = None,
    ) -> None:
        """`limits`, `records`: decide whether the run has a timeout, and whether what it logs is kept; None: it has not, it is
        not."""
        self.wraps = wraps
        """The hooks around the call."""
        self.context = Context() if context is None else context
        """That of the call."""
        self.limit: Limit | None = None
        self._limits = limits
        self._records = records
        self._log: AttemptLog | None = None
        self._claimed: Claimed | None = None

    def begin(self, claimed: Claimed, job: Job, handler: Handler) -> Handler:
        """Returns what is to be called in the place of the handler."""
        self._claimed = claimed
        if self._limits is not None:
            self.limit = self._limits.begin(claimed, job.timeout)
        if self._records is not None and (log := self._records.begin(claimed)) is not None:
            self._log = log
            self.context.run(sink.set, log)
            captures.begin(log)
        window = None if self.limit is None else self.limit.window
        return handler if window is None else partial(window.call, handler)

    def finish(self) -> None:
        try:
            if self.limit is not None:
                self.limit.finish()
            if self._log is not None:
                captures.end(self._log)
                self._log.end()
        finally:
            if self._records is not None and self._claimed is not None:
                self._records.over(self._claimed.run_key())


class Setups:
    """Decides which runs have one. All workers share one object."""

    def __init__(
        self,
        *,
        registry: Registry,
        limits: Limits,
        records: Records | None,
        settings: Settings,
        context: Callable[[], Context] | None = None,
    ) -> None:
        """`context`: makes that of each handler; None: what the hooks around the thread have left."""
        self.max_result_bytes = settings.max_result_bytes
        self._handlers = registry.handlers
        self._around = registry.around
        self._around_thread = registry.around_thread
        self._context = registry.around_thread.context if context is None else context
        self._limits = limits
        self._records = records
        self._is_for_all = settings.timeout is not None or settings.captures or context is not None

    def of(self, job: Claimed) -> Setup | None:
        """None: there is nothing to set up. This is asked for every run, so it is cheap."""
        may_be_more = self._is_for_all or job.extras is not None or job.type in self._handlers.with_setup
        if not (may_be_more or self._around.entries.value or self._around_thread.were_entered):
            return None
        wraps, context = self._around.wraps(job.type), self._context()
        if may_be_more:
            return Setup(wraps=wraps, context=context, limits=self._limits, records=self._records)
        return Setup(wraps=wraps, context=context)
