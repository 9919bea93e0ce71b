"""The schedules in the code of this process, by their names. Users fill it through `manager.cron`, before the manager starts or
while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from steve._runtime.copy_on_write import CopyOnWrite
from steve._schedules.definition import Definition


class SchedulesInCode:
    def __init__(self) -> None:
        self._by_name: CopyOnWrite[Mapping[str, Definition]] = CopyOnWrite(MappingProxyType({}))
        self._reserved: CopyOnWrite[frozenset[str]] = CopyOnWrite(frozenset())
        self.on_change: Callable[[], object] = lambda: None

    def reset_after_fork(self) -> None:
        self._by_name.reset_after_fork()
        self._reserved = CopyOnWrite(frozenset())  # another thread may have reserved one

    def all(self) -> Mapping[str, Definition]:
        return self._by_name.value

    @contextmanager
    def reserved(self, name: str) -> Iterator[None]:
        """During the block nobody else takes the name, so that `add` finds it free. Raises ValueError if it is taken."""

        def reserve(names: frozenset[str]) -> frozenset[str]:
            if name in names or name in self._by_name.value:
                raise ValueError(f"there is a schedule {name!r} in this code already: give the other one a name=")
            return names | {name}

        self._reserved.replace(reserve)
        try:
            yield
        finally:
            self._reserved.replace(lambda names: names - {name})

    def add(self, new: Definition) -> None:
        """Within `reserved`."""
        self._by_name.replace(lambda by_name: MappingProxyType({**by_name, new.name: new}))
        self.on_change()
