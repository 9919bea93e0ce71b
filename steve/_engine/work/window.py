"""Raises TimeLimit into a running handler, and nowhere else.

Python can raise an exception into another thread: PyThreadState_SetAsyncExc. The exception is *set* by one thread, and *raised*
in the other one between two steps of its Python code, soon afterwards; a C function that runs is not broken off. Only one can
be set for a thread; the next one takes its place. The thread that sets one cannot know where it will be raised. These rules
keep it within the call of the handler:

- It is set only by `interrupt()`, under the lock and while the window is open. `_close()` takes the lock, too. So once the
  window is closed, nothing is set any more.
- What was set before that is raised in one of three places. In the handler: that is the purpose. In a frame of this file,
  between the handler's return and the end of `_close()`: `call()` catches it there, and closes the window again, which is not
  interrupted a second time, since TimeLimit is set once a run. Or not yet, when `_close()` has the lock: then it is still set.
  So `_close()` receives it (`_receive`): it sets one itself, in place of the other, and catches it. (It could take it away
  instead, by setting NULL. But then CPython 3.11 would go on looking for it, in all threads.)
- The hooks around the handler, and all that follows it, run outside the window.

The handler's return value wins. It must not get lost when TimeLimit is raised right after the handler has returned, before
this frame has taken the value. So a C function takes it: a defaultdict calls the handler for the key that is missing, and
stores what it returns. No step of Python code lies between the two.

A thread that handles an exception can be interrupted as well. If the handler raised, its error wins in the same way.

The window is shut while the handler is in code of ours that others rely on (`uninterrupted` in steve/run.py): a lock or a
connection of the pool would be lost. It is also shut in a block of `current_run().interrupting(...)`: PostgreSQL's cancel ends
what the handler waits for there, and TimeLimit would leave psycopg's connection in the middle of a statement.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from steve._runtime.fork import end_child
from steve.errors import TimeLimit


class Window:
    """That of one run. It opens when the handler is called and closes when the handler has returned or raised."""

    __slots__ = ("_is_due", "_lock", "_shut", "_thread", "was_set")

    def __init__(self) -> None:
        # Protects all below. Under it, an exception is set, and nothing else is called.
        self._lock = threading.Lock()
        self._thread: int | None = None  # threading.get_ident() while the window is open
        self._shut = 0  # blocks in which the handler is that must not be interrupted
        self._is_due = False
        self.was_set = False
        _setter()  # here, not under the lock: it may import a module

    def interrupt(self) -> bool:
        """On another thread: raise TimeLimit into the handler. Returns False if that is not possible yet."""
        with self._lock:
            self._is_due = True
            if self.was_set or self._thread is None:
                return True  # before the handler is called: `_open` looks at _is_due
            if self._shut:
                return False
            self.was_set = True
            _setter()(self._thread)
            return True

    def shut(self) -> None:
        """On the handler's side: do not interrupt it until `unshut`. May be nested."""
        with self._lock:
            self._shut += 1
            was_set = self.was_set
        if was_set:
            # What was set before must be raised now. In CPython before 3.13 one flag serves all threads: another one, which has
            # just received its exception, may have taken it back. A thread that gets the interpreter anew sets it again.
            time.sleep(0)

    def unshut(self) -> None:
        with self._lock:
            self._shut -= 1

    def call(self, handler: Callable[[Any], Any], argument: object) -> Any:
        """Call the handler. It may be interrupted, and nothing after it."""
        pid = os.getpid()
        values: defaultdict[int, Any] = defaultdict(partial(handler, argument))
        error: BaseException | None = None
        try:
            self._open()
            values[0]  # calls the handler
        except BaseException as raised:
            error = raised
        while True:
            try:
                if (
                    os.getpid() != pid
                ):  # the handler forked, and this is the child: nobody interrupts it, or lets go of the lock
                    end_child(error)
                self._close()
                break
            except TimeLimit:
                pass  # it comes too late
        try:
            if values:
                return values[0]
            assert error is not None
            raise error
        finally:
            del error  # its traceback refers to this frame

    def _open(self) -> None:
        with self._lock:
            self._thread = threading.get_ident()
            is_due = self._is_due
            self.was_set = self.was_set or is_due
        if is_due:
            raise TimeLimit

    def _close(self) -> None:
        """May be broken off by TimeLimit at any step, and called again."""
        with self._lock:
            thread, self._thread = self._thread, None
            was_set = self.was_set
        if was_set and thread is not None:
            _receive(thread)


@functools.cache
def _setter() -> Callable[[int], int]:
    """Sets TimeLimit for the thread with this ident. Returns how many such threads there are: 1, or 0 if it has ended."""
    import ctypes  # here, because few programs need it

    function = ctypes.pythonapi.PyThreadState_SetAsyncExc
    function.argtypes, function.restype = [ctypes.c_ulong, ctypes.py_object], ctypes.c_int
    return lambda thread: function(thread, TimeLimit)


def _receive(thread: int) -> None:
    """On this thread: catch what is set for it, if anything is."""
    try:
        if _setter()(thread):
            while True:  # it is raised at the latest when this jumps back
                pass
    except TimeLimit:
        pass
