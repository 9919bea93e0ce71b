"""Shared memory in which the processes note what happened to each job, by the number `i` in its payload.

A write takes a tenth of a microsecond and no lock, so that it does not slow what is measured. Workers write when they began a
job and how often, listeners how often they were told, and creators when `create` had returned. The benchmark reads.
"""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path
from typing import Self

_SHARED_MEMORY = Path("/dev/shm")


class Board:
    """`begun`, `made`: times by time.monotonic_ns(), which all processes of a machine share. `runs`, `told`: counts."""

    def __init__(self, path: Path, jobs: int) -> None:
        self.path = path
        self.jobs = jobs
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 18 * jobs)
        whole = memoryview(self._map)
        self.begun = whole[: 8 * jobs].cast("q")
        self.made = whole[8 * jobs : 16 * jobs].cast("q")
        self.runs = whole[16 * jobs : 17 * jobs]
        self.told = whole[17 * jobs :]
        self._views = [self.begun, self.made, self.runs, self.told, whole]

    @classmethod
    def new(cls, jobs: int) -> Self:
        """An empty board. Its `with` block removes it."""
        directory = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
        with tempfile.NamedTemporaryFile(prefix="steve-board-", dir=directory, delete=False) as file:
            file.truncate(18 * jobs)
        return cls(Path(file.name), jobs)

    def first_not_run(self, after: int = 0) -> int:
        """The first job, from number `after` on, that no handler has begun; -1: there is none."""
        found = self._map.find(b"\0", 16 * self.jobs + after, 17 * self.jobs)
        return found if found < 0 else found - 16 * self.jobs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for view in self._views:
            view.release()
        self._map.close()
        self.path.unlink()
