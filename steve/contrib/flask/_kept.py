"""What is registered with a Steve: kept for the managers that come, and applied to those that are there."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from steve import JobManager

if TYPE_CHECKING:
    from steve.contrib.flask._manager import FlaskManager

FUNCTION_AT = {
    "handler": None, "cron": None, "task": 0, "on_success": 1, "on_failure": 1, "on_done": 1, "on_attempt": 1,
    "on_queue_latency": 2, "on_unhealthy": 0, "on_healthy": 0, "on_stuck": 0, "around": 0, "around_create": 0,
    "around_listener": 0, "around_thread": 0,
}  # fmt: skip
"""The methods of JobManager that register something, and at which place of their arguments the function may stand. A call
without a function returns a decorator."""

_LATER = object()


@dataclass(frozen=True, eq=False)
class Registration:
    """One call of such a method, with the function that it or its decorator was given."""

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    function: Any = field(default=_LATER)

    @property
    def is_whole(self) -> bool:
        """Whether there is a function."""
        place = FUNCTION_AT[self.method]
        named = any(self.options.get(name) is not None for name in ("callback", "wrap", "function"))
        return self.function is not _LATER or (place is not None and (len(self.arguments) > place or named))

    def apply(self, manager: JobManager) -> Any:
        made = getattr(manager, self.method)(*self.arguments, **self.options)
        return made if self.function is _LATER else made(self.function)


class Kept:
    def __init__(self, template: JobManager) -> None:
        """`template`: a manager that runs nothing. It gets each registration first, and says what is wrong with it."""
        self._template = template
        # Protects the fields below. It is held while a registration is applied, which waits for nothing, so that no manager
        # misses one.
        self._lock = threading.Lock()
        self._registrations: list[Registration] = []
        self._removals: dict[Registration, Callable[[], object]] = {}
        """What the template returned for hooks and listeners."""
        self._managers: weakref.WeakSet[FlaskManager] = weakref.WeakSet()

    def add(self, registration: Registration) -> Any:
        """Returns what the method of a JobManager would return."""
        if not registration.is_whole:
            decorator = registration.apply(self._template)
            assert callable(decorator)
            return functools.partial(self._add_function, registration)
        with self._lock:
            made = registration.apply(self._template)
            self._registrations.append(registration)
            for manager in list(self._managers):
                manager.keep(registration)
            if not registration.method.startswith(("around", "on_")) or made is _function_of(registration):
                return made
            self._removals[registration] = made
        return Removal(functools.partial(self._remove, registration))

    def add_manager(self, manager: FlaskManager) -> None:
        with self._lock:
            for registration in self._registrations:
                manager.keep(registration)
            self._managers.add(manager)

    def _add_function(self, registration: Registration, function: Any) -> Any:
        whole = Registration(registration.method, registration.arguments, registration.options, function)
        return self.add(whole)

    def _remove(self, registration: Registration) -> None:
        with self._lock:
            if registration in self._registrations:
                self._registrations.remove(registration)
                self._removals.pop(registration)()
                for manager in list(self._managers):
                    manager.drop(registration)


class Removal:
    """As what the hooks of a JobManager return: call it, or leave its `with` block, to remove what was registered."""

    def __init__(self, remove: Callable[[], object]) -> None:
        self._remove = remove

    def __call__(self) -> None:
        self._remove()

    def __enter__(self) -> Removal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self()


def _function_of(registration: Registration) -> Any:
    """The function, if a decorator or a listener of health was given it: those return it."""
    if registration.function is not _LATER:
        return registration.function
    return registration.arguments[0] if registration.method in ("on_unhealthy", "on_healthy") else _LATER
