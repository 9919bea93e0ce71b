"""A call of a method that does not keep the method's object alive."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakMethod


class WeakCall:
    """Calls the method, as long as its object exists."""

    def __init__(self, method: Callable[[], object]) -> None:
        self._method = WeakMethod(method)

    def __call__(self) -> None:
        method = self._method()
        if method is not None:
            method()
