"""The schedules in the code of this process, by their names. Users fill it through `manager.cron`, before the manager starts or
while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from steve._runtime.copy_on_write import CopyOnWrite
from steve._schedules.definition import Definition


class SchedulesInCode:
    def __init__(self) -> None:
        self._by_name: CopyOnWrite[Mapping[str, Definition]] = CopyOnWrite(MappingProxyType({}))
        self.on_change: Callable[[], object] = lambda: None

    def reset_after_fork(self) -> None:
        self._by_name.reset_after_fork()

    def all(self) -> Mapping[str, Definition]:
        return self._by_name.value

    def add(self, new: Definition) -> None:
        """Raises ValueError if there is one of that name already."""

        def add(by_name: Mapping[str, Definition]) -> Mapping[str, Definition]:
            if new.name in by_name:
                raise ValueError(f"there is a schedule {new.name!r} in this code already: give the other one a name=")
            return MappingProxyType({**by_name, new.name: new})

        self._by_name.replace(add)
        self.on_change()
