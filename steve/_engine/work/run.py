"""Calls one handler. The result is always an Outcome, whatever the handler raises, returns or does to its context.

`worker.py` calls `run()` with a job from the buffer; `_model/outcome.py` says what the outcome means.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Sequence
from contextvars import Context
from functools import partial

from steve._engine.work.handlers import Handler
from steve._engine.work.signals import RunSignals
from steve._model import json as _json
from steve._model.arguments import NotDecodable
from steve._model.claimed import Claimed
from steve._model.outcome import Outcome, Raised, Returned, Snoozed, Unusable
from steve._runtime.exit import is_refused
from steve._runtime.fork import end_child
from steve._runtime.guard import call_here
from steve._runtime.hooks import Wrap, within
from steve._runtime.log import logger
from steve.errors import Snooze
from steve.job import Status
from steve.run import Run, current

MESSAGE_BYTES = 10_000
DETAILS_BYTES = 64_000


def run(
    claimed: Claimed,
    handler: Handler,
    signals: RunSignals,
    max_result_bytes: int,
    wraps: Sequence[Wrap] = (),
    context: Context | None = None,
) -> Outcome:
    """`wraps`: the hooks around the call. `context`: that of the call; None: an empty one."""
    try:
        job = claimed.job(_json.decode, Status.RUNNING)
    except (ValueError, RecursionError) as error:
        return Unusable(f"PayloadNotDecodable: Python cannot hold this payload ({type(error).__name__})")
    forgiven = 0 if claimed.extras is None else claimed.more().forgiven or 0
    this = Run(job, claimed.key(), signals, forgiven)
    # In a context of its own, so that the next handler on this thread does not see the context variables that this one sets.
    return (Context() if context is None else context).run(_call, handler, this, max_result_bytes, wraps)


def _call(handler: Handler, this: Run, most: int, wraps: Sequence[Wrap]) -> Outcome:
    current.set(this)
    pid = os.getpid()
    try:
        try:
            result = within(wraps, this, partial(call_here, handler, this.job)) if wraps else handler(this.job)
        finally:
            if os.getpid() != pid:  # the handler forked, and this is the child
                end_child(sys.exception())
    except Snooze as snooze:
        try:
            return Snoozed(Snooze(snooze.seconds).seconds)  # checked again: the handler may have set the attribute
        except BaseException:
            return _raised(snooze)
    except NotDecodable as flaw:
        return Unusable(f"ArgumentNotDecodable: {flaw}")
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: they end the handler, not its thread
        if is_refused(error):
            logger.warning(
                "job %s: the program has ended, so Python starts no threads any more: the attempt is not counted; call stop() "
                "before the end, or use `with manager:`",
                this.job.uid,
            )
            return Snoozed(0.0)
        return _raised(error)
    if result is None:
        return Returned(None)
    if type(result) not in _PLAIN and (awaited := _unawaited(result)) is not None:
        return Raised(f"HandlerNotRun: the handler returned {awaited}, so nothing was run; wrap it: {_HOW_TO_WRAP}", "")
    try:
        text = _json.encode(result, "result", clean=True)
    except _json.NotStorable as flaw:
        return Unusable(f"ResultNotStorable: the handler finished, but {flaw}")
    except BaseException as error:  # a subclass of dict may raise anything
        message = f"ResultNotStorable: the handler finished, but its result cannot be read: {_message(error)}"
        return Unusable(_bounded(message, MESSAGE_BYTES))
    if (size := _json.size(text)) > most:
        return Unusable(
            f"ResultNotStorable: the handler finished, but its result has {size} bytes, more than max_result_bytes={most}"
        )
    return Returned(text)


_OURS = frozenset({__name__, "steve._runtime.hooks", "steve._runtime.guard", "steve.tasks", "contextlib"})
"""The modules whose frames lie between the worker and the handler or a hook: a traceback begins after them."""
_PLAIN = frozenset({dict, list, str, int, float, bool})
_HOW_TO_WRAP = "lambda job: asyncio.run(function(job))"


def _unawaited(result: object) -> str | None:
    """Returns what `result` is, if it should have been run instead of returned: a coroutine, for example, which a plain
    function gets when it calls an async one. Otherwise None."""
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()  # otherwise Python warns that it was never awaited
        return f"a {type(result).__name__}"
    if inspect.isasyncgen(result) or inspect.isawaitable(result):
        return f"a {type(result).__name__}"
    return None


def _raised(error: BaseException) -> Raised:
    details, printable = _details(error)
    return Raised(_message(error), details, error if printable else None)


def _message(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = "".join([str(error)])  # str() may return a subclass of str, whose methods may do anything
    except BaseException as failure:
        text = f"<its str() raised {type(failure).__name__}>"
    return _bounded(f"{name}: {text}" if text else name, MESSAGE_BYTES)


def _details(error: BaseException) -> tuple[str, bool]:
    """The traceback from the user's own frame on, and whether the log may print the error itself."""
    try:
        own = error.__traceback__
        while own is not None and own.tb_frame.f_globals.get("__name__") in _OURS:
            own = own.tb_next
        text = "".join(traceback.format_exception(type(error), error, own))
    except BaseException as failure:
        return f"the traceback cannot be printed: {type(failure).__name__}", False
    details = _bounded(text, DETAILS_BYTES)
    return details, details == text


def _bounded(text: str, size: int) -> str:
    """Returns text of at most `size` bytes of UTF-8 that PostgreSQL can store: the beginning of `text`, and its end, which says
    what was raised."""
    data = _json.readable(text).encode()
    if len(data) <= size:
        return data.decode()
    half = (size - 60) // 2
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{head}\n... {len(data) - 2 * half} bytes left out ...\n{tail}"
