"""A value that many threads read without a lock, and that writers replace as a whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class CopyOnWrite(Generic[T]):
    """`value` is complete at any moment: it must never be changed in place."""

    def __init__(self, value: T) -> None:
        self.value = value
        self._lock = threading.Lock()  # one writer at a time; `change` is called under it and takes no other lock

    def replace(self, change: Callable[[T], T]) -> None:
        with self._lock:
            self.value = change(self.value)

    def reset_after_fork(self) -> None:
        """In the child of a fork: a thread that does not exist here may have held the lock."""
        self._lock = threading.Lock()
