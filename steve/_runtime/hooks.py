"""Hooks: context managers of the user's around a call of the user's. There is one mechanism for all of them.

A handler is called within the hooks of `manager.around`, a listener within those of `around_listener`, and a call of create or
create_many runs within those of `around_create`: `within()` does all three. Those of `around_thread` are entered when a thread
begins and left when it ends (`_engine/upkeep/thread_hooks.py`).
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

from steve._model.names import check_types
from steve._runtime.copy_on_write import CopyOnWrite
from steve._runtime.subscription import Subscription
from steve.errors import shown

T = TypeVar("T")

Wrap = Callable[..., AbstractContextManager[Any]]


class Hook(NamedTuple):
    wrap: Wrap
    types: frozenset[str] | None
    """The types of jobs that it is for. None: all."""


class Hooks:
    """The hooks of one kind. Any thread may add and remove some at any time. A call that is under way keeps those that it began
    with."""

    def __init__(self) -> None:
        self.entries: CopyOnWrite[tuple[Hook, ...]] = CopyOnWrite(())
        """In the order of registration: the first one is the outermost. Without hooks a caller pays for this look only."""

    def reset_after_fork(self) -> None:
        self.entries.reset_after_fork()

    def add(
        self, wrap: Callable[..., Any], types: str | Iterable[str] | None = None, *, outermost: bool = False
    ) -> Subscription:
        """`outermost`: put it before those that are there. Raises TypeError or ValueError for what cannot be a hook."""
        hook = Hook(_checked(wrap), check_types("a hook's type", types))

        def remove(hooks: tuple[Hook, ...]) -> tuple[Hook, ...]:
            return tuple(other for other in hooks if other is not hook)  # by identity: the same function may be added twice

        self.entries.replace(lambda hooks: (hook, *hooks) if outermost else (*hooks, hook))
        return Subscription(lambda: self.entries.replace(remove))

    def wraps(self, type: str | None = None) -> list[Wrap]:
        """The hooks for jobs of this type, the outermost first."""
        return [wrap for wrap, types in self.entries.value if types is None or type in types]


def within(wraps: Sequence[Wrap], argument: object, call: Callable[[], T], entered: int = 0) -> T:
    """Call `call` within the context managers that these hooks make of `argument`, the first one outermost.

    Returns what `call` returns, and raises what it raises, even if the `__exit__` of a hook returned True. If a hook raises,
    that is raised in its place, and the hooks further out see it.
    """
    if entered == len(wraps):
        return call()
    raised: BaseException | None = None
    try:
        with _opened(wraps[entered], argument):
            try:
                result = within(wraps, argument, call, entered + 1)
            except BaseException as error:
                raised = error
                raise
        if raised is not None:
            raise raised
        return result
    finally:
        del raised  # its traceback refers to this frame; the cycle would keep the handler's locals alive


def _opened(wrap: Wrap, argument: object) -> AbstractContextManager[Any]:
    manager = wrap(argument)
    if not hasattr(type(manager), "__exit__"):
        raise TypeError(no_manager(wrap, manager))
    return manager


def no_manager(wrap: Wrap, made: object) -> str:
    """What is wrong with a hook that made this instead of a context manager."""
    return (
        f"the hook {name_of(wrap)} returned {type(made).__name__}, not a context manager: it must be a generator function that "
        "yields once, or return an object with __enter__ and __exit__"
    )


def name_of(function: object) -> str:
    """The name of a function of the user's, for the log and for errors."""
    try:
        return str(function.__qualname__)  # type: ignore[attr-defined]
    except Exception:  # the callable has no name, or raises when it is asked for one
        return shown(function)


def _checked(wrap: Callable[..., Any]) -> Wrap:
    """Returns the hook as a function that returns a context manager."""
    if not callable(wrap):
        raise TypeError(f"a hook must be callable, not {type(wrap).__name__}")
    called: Any = wrap
    while isinstance(called, functools.partial):
        called = called.func
    if not inspect.isroutine(called) and not inspect.isclass(called):
        called = getattr(called, "__call__", called)  # noqa: B004 - the object's __call__ may be a generator function
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError(
            f"the hook {name_of(wrap)} is an async function, but hooks run in threads: make it a generator function"
        )
    return contextlib.contextmanager(wrap) if inspect.isgeneratorfunction(called) else wrap
