"""Finds the run that a log line or a print belongs to, and gives it the line.

A handler of the logging module on the root logger sees all lines that loggers let through. The run is found by a ContextVar: it
is set in the context in which a worker calls the handler of a job, so a thread to which the handler gives a copy of its context
(asyncio.to_thread does) belongs to the run, and no other thread does. Prints are found in the same way, by an object that
stands in the place of sys.stdout.

Both are in place only while a run is captured. So a program that captures nothing has neither.

No level of a logger is changed: what the program's own handlers write must not depend on whether a job is captured at that
moment.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from contextvars import ContextVar
from typing import Any, Protocol

from steve._runtime import fork
from steve._runtime.log import logger


class Sink(Protocol):
    """A run that is captured. Any thread may call its methods, and more than one at a time."""

    level: int
    """Lines below this level are not for it."""
    prints: bool

    def add(self, at: float, level: str, logger: str, message: str) -> None:
        """`at`: seconds since 1970."""

    def print(self, text: str) -> None:
        """`text`: a piece of what was printed, which need not be a line."""


_NOBODY: Any = None
sink: ContextVar[Sink | None] = ContextVar("steve_captured_run", default=_NOBODY)


class _Handler(logging.Handler):
    """Stands on the root logger."""

    def handle(self, record: logging.LogRecord) -> bool:
        # Not emit(), which logging calls under the handler's lock: all captured threads would wait there for one another, while
        # an argument's str() runs, which is the user's code.
        to = sink.get()
        if to is not None and record.levelno >= to.level:
            try:
                to.add(record.created, str(record.levelname), str(record.name), text_of(record))
            except Exception:  # whatever a line's arguments do must not fail a job
                pass
        # A program that has not set up logging still sees warnings, because logging has a last resort for lines that no handler
        # takes. This handler takes them all, so it passes them on. The level is asked first, since most lines are below it.
        resort = logging.lastResort
        if resort is not None and record.levelno >= resort.level and len(logging.root.handlers) == 1 and _is_alone(record.name):
            resort.handle(record)
        return True


def text_of(record: logging.LogRecord) -> str:
    """The message with the traceback and the stack, whatever the arguments do. It leaves the record as it is, since other
    handlers get it, too."""
    try:
        text = "".join([record.getMessage()])  # str() may return a subclass of str, whose methods may do anything
    except Exception as error:
        text = f"{_plain(record.msg)} <the arguments cannot be formatted: {type(error).__name__}>"
    if record.exc_info and record.exc_info[0] is not None:
        try:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        except Exception as error:
            text += f"\n<the traceback cannot be printed: {type(error).__name__}>"
    elif record.exc_text:  # a QueueHandler has formatted it
        text += "\n" + _plain(record.exc_text)
    if record.stack_info:
        text += "\n" + _plain(record.stack_info)
    return text


def _plain(value: object) -> str:
    try:
        return "".join([str(value)])
    except Exception as error:
        return f"<str() of {type(value).__name__} raised {type(error).__name__}>"


def _is_alone(name: str) -> bool:
    """Whether no handler except that on the root logger sees the lines of this logger."""
    here = logging.root.manager.loggerDict.get(name)
    while isinstance(here, logging.Logger) and here is not logging.root:
        if here.handlers:
            return False
        here = here.parent
    return True


class _Output:
    """Stands in the place of sys.stdout, and is like it in all respects. What a captured run prints is printed, and kept."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Any:
        return iter(self._stream)

    def write(self, text: str) -> Any:
        to = sink.get()
        if to is not None and to.prints and isinstance(text, str):
            try:
                to.print(text)
            except Exception:
                pass
        elif not captures.are_printing() and sys.stdout is self:
            sys.stdout = self._stream  # a redirect_stdout that outlived the run has put this back
        return len(text) if self._stream is None else self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()


class _Captures:
    """Puts the handler and the output in place while a run is captured."""

    def __init__(self) -> None:
        self._handler = _Handler()
        self._reset()
        fork.register(self)

    def _reset(self) -> None:
        # Protects the two counters and what depends on them. logging's own lock is taken under it, and nothing else.
        self._changing = threading.Lock()
        self._logging = 0
        self._printing = 0
        self._output: _Output | None = None
        self._was_said: set[int] = set()

    def reset_after_fork(self) -> None:
        """In the child of a fork: the runs are the parent's."""
        _remove(self._handler)
        self._put_back()
        self._reset()

    def begin(self, to: Sink) -> None:
        """A run is captured from now on."""
        with self._changing:
            self._logging += 1
            if self._handler not in logging.root.handlers:  # a dictConfig() may have taken it away
                _add(self._handler)
            if to.prints:
                self._printing += 1
                if sys.stdout is not self._output or self._output is None:
                    self._output = sys.stdout = _Output(_stream_of(sys.stdout))
        self._warn_of_levels(to.level)

    def end(self, to: Sink) -> None:
        """It has ended. A line that a thread of its logs later is not kept."""
        with self._changing:
            self._logging -= 1
            if not self._logging:
                _remove(self._handler)
            if to.prints:
                self._printing -= 1
                if not self._printing:
                    self._put_back()

    def are_printing(self) -> bool:
        return self._printing > 0

    def _put_back(self) -> None:
        """If the user has put something else in the place of ours, that stays. If it is a redirect_stdout that puts ours back
        later, ours prints as what was there before."""
        if self._output is not None and sys.stdout is self._output:
            sys.stdout = self._output._stream
            self._output = None

    def _warn_of_levels(self, level: int) -> None:
        """Once for each level: it is a mistake that is easily made, and otherwise nothing tells of it."""
        if level in self._was_said or level >= logging.CRITICAL:
            return
        self._was_said.add(level)
        loggers = [logging.root, *logging.root.manager.loggerDict.values()]
        if any(isinstance(one, logging.Logger) and one.name != "steve" and one.getEffectiveLevel() <= level for one in loggers):
            return
        logger.warning(
            "capture_logs=%r finds little: no logger lets lines below %s through; set their level, for example with "
            "logging.getLogger().setLevel(%r)",
            logging.getLevelName(level), logging.getLevelName(logging.root.getEffectiveLevel()), logging.getLevelName(level),
        )  # fmt: skip


def _stream_of(stream: Any) -> Any:
    """What stands behind an output of ours that a redirect_stdout has put back; any other stream itself."""
    while isinstance(stream, _Output):
        stream = stream._stream
    return stream


def _add(handler: logging.Handler) -> None:
    with logging._lock:  # type: ignore[attr-defined]  # as addHandler() does
        logging.root.handlers = [*logging.root.handlers, handler]


def _remove(handler: logging.Handler) -> None:
    # removeHandler() would change the list in place. Another thread may be going through it, with a line of its own, and would
    # pass over the handler behind ours.
    with logging._lock:  # type: ignore[attr-defined]
        logging.root.handlers = [one for one in logging.root.handlers if one is not handler]


captures = _Captures()
