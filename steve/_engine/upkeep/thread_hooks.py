"""The hooks of `manager.around_thread`: entered when a worker's or the dispatcher's thread begins, left when it ends.

`threads.py` has each worker thread enter and leave them, and `events/dispatcher.py` the dispatcher. Whatever a hook raises is
logged, and the thread goes on without that hook.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from steve._runtime.guard import call_guarded
from steve._runtime.hooks import Hooks, Wrap, name_of, no_manager
from steve._runtime.log import logger


class ThreadHooks:
    def __init__(self) -> None:
        self.hooks = Hooks()
        self._here = threading.local()  # of a thread that has entered: `stack`, `context`
        self._entered: set[threading.Thread] = set()
        self.were_entered = False
        """Whether some thread ever entered a hook: until then every context is empty."""

    def reset_after_fork(self) -> None:
        self.hooks.reset_after_fork()
        self._here = threading.local()
        self._entered = set()

    def are_any(self) -> bool:
        return bool(self.hooks.entries.value)

    def has_entered(self, thread: threading.Thread) -> bool:
        """Whether it has, and has not left."""
        return thread in self._entered

    def enter(self) -> None:
        """Called by a thread when it begins. Does nothing if it has entered, as a loop has that broke off and begins again."""
        if not self.are_any() or hasattr(self._here, "stack"):
            return
        stack: list[tuple[Wrap, AbstractContextManager[Any]]] = []
        self._here.stack = stack
        self.were_entered = True
        self._entered.add(threading.current_thread())
        for wrap in self.hooks.wraps():

            def enter(wrap: Wrap = wrap) -> None:
                manager = wrap()
                if not hasattr(type(manager), "__exit__"):
                    raise TypeError(no_manager(wrap, manager))
                manager.__enter__()
                stack.append((wrap, manager))

            _guarded(wrap, "beginning", enter)
        self._here.context = copy_context()

    def leave(self) -> None:
        """Called by a thread when it ends, perhaps twice."""
        self._here.__dict__.pop("context", None)
        for wrap, manager in reversed(self._here.__dict__.pop("stack", [])):
            _guarded(wrap, "end", partial(manager.__exit__, None, None, None))
        self._entered.discard(threading.current_thread())

    def context(self) -> Context:
        """The context for a handler that this thread calls: a copy of what the hooks have left, or an empty one."""
        context: Context | None = getattr(self._here, "context", None)
        return Context() if context is None else context.copy()


class Departure:
    """The end of the threads of one executor: each of them has one call of `leave`. No call returns before all have begun,
    because a thread that is free would take a second one, and another thread would get none."""

    def __init__(self, *, hooks: ThreadHooks, members: list[threading.Thread], workers: int, look: float) -> None:
        """`look`: how often to look for dead threads, in seconds."""
        self._hooks = hooks
        self._members = members
        self._workers = workers
        self._look = look
        self._left: set[threading.Thread] = set()
        self._over = threading.Event()

    def leave(self) -> None:
        try:
            self._hooks.leave()
        finally:
            self._left.add(threading.current_thread())
            self.wait()

    def give_up(self) -> None:
        self._over.set()

    def is_over(self) -> bool:
        return self._over.is_set()

    def wait(self) -> None:
        """Wait until all threads have left, except those that died."""
        while not self._over.is_set():
            dead = [thread for thread in tuple(self._members) if not thread.is_alive() and thread not in self._left]
            if len(self._left) + len(dead) >= self._workers:
                self._over.set()
            self._over.wait(self._look)


def _guarded(wrap: Wrap, moment: str, call: Callable[[], object]) -> None:
    raised = call_guarded(call)
    if raised is not None:
        logger.error("the hook %s raised at the %s of a thread", name_of(wrap), moment, exc_info=raised)
        del raised  # its traceback refers to this frame
