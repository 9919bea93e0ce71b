"""What the settler asks of the database, on the connection that is kept for it: `SettlePort` of `_settle`, in statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ._connection import Line
from ._store import Store
from .job import Settled
from .outcome import Verdict

Landed = dict[int, Settled | None]


class Settlement:
    def __init__(self, line: Line, store: Store, process: str, notify: bool, want: Callable[[Verdict], bool]) -> None:
        """`process`: its name, for the log of attempts; `want(verdict)`: whether somebody is to be told of it."""
        self._line = line
        self._store = store
        self._process = process
        self._notify = notify
        self._want = want

    def write(self, verdicts: Sequence[Verdict], now: float) -> Landed:
        times = any(map(self._want, verdicts))
        return self._line.call(lambda c: self._store.settle_jobs(c, self._process, verdicts, now, self._notify, times))

    def witness(self, verdicts: Sequence[Verdict]) -> Landed:
        return self._line.call(lambda c: self._store.find_settled(c, verdicts))

    def rehearse(self, verdict: Verdict) -> None:
        self._line.call(lambda c: self._store.rehearse_settlement(c, self._process, verdict))

    def forget_attempt(self, verdict: Verdict) -> None:
        self._line.call(lambda c: self._store.forget_attempt(c, verdict))
