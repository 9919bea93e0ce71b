"""What a call that registers something returns: the means to take it away again."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType


class Subscription:
    """Call it, or leave its `with` block, to remove what was registered. To remove it twice is no error."""

    def __init__(self, remove: Callable[[], object]) -> None:
        self._remove = remove

    def __call__(self) -> None:
        self._remove()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self()
