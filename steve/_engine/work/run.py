"""Calls one handler. The result is always an Outcome, whatever the handler raises, returns or does to its context.

`worker.py` calls `run()` with a job from the buffer; `_model/outcome.py` says what the outcome means.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable
from contextvars import Context
from functools import partial

from steve._engine.work.handlers import Handler
from steve._engine.work.limit import Limit, is_because_of_deadline
from steve._engine.work.setup import Setup
from steve._engine.work.signals import RunSignals
from steve._model import json as _json
from steve._model.arguments import NotDecodable
from steve._model.claimed import Claimed
from steve._model.outcome import (
    SNOOZED,
    CancelRaised,
    Completing,
    Outcome,
    Raised,
    Returned,
    Snoozed,
    Unusable,
    is_last_attempt,
)
from steve._model.terms import HandlerTerms, no_terms
from steve._runtime.exit import is_refused
from steve._runtime.fork import end_child
from steve._runtime.guard import call_here
from steve._runtime.hooks import within
from steve._runtime.log import logger
from steve.errors import Cancel, Fail, Retry, Snooze, Stopped, TimedOut, check_pause, check_text
from steve.job import Job, Status
from steve.run import Run, claim_of, current, end

MESSAGE_BYTES = 10_000
DETAILS_BYTES = 64_000
TYPE_BYTES = 1_000

TermsOf = Callable[[str], HandlerTerms | None]
Done = Returned | Raised | Unusable | Snoozed | CancelRaised


def run(
    claimed: Claimed,
    handler: Handler,
    signals: RunSignals,
    max_result_bytes: int,
    terms_of: TermsOf = no_terms,
    begun: float = 0.0,
    setup: Setup | None = None,
) -> Outcome:
    """`terms_of(type)`: what was said about failures when the handler was registered; None: nothing. `begun`: when the run
    began, by time.monotonic(). `setup`: what most runs have none of."""
    try:
        job = claimed.job(_json.decode, Status.RUNNING)
    except (ValueError, RecursionError) as error:
        return Unusable(f"PayloadNotDecodable: Python cannot hold this payload ({type(error).__name__})")
    if setup is not None:
        try:
            handler = setup.begin(claimed, job, handler)
        except BaseException:
            setup.finish()
            raise
    this = Run(job, claimed.key(), signals, is_last_attempt(claimed), begun, None if setup is None else setup.limit)
    try:
        # In a context of its own, so that the next handler on this thread does not see the context variables that this one
        # sets. The outcome is in no variable of this frame, to which the frames of its traceback lead back: a cycle.
        context = Context() if setup is None else setup.context
        return _ended(context.run(_call, handler, this, max_result_bytes, claimed, terms_of, setup), this, signals)
    except BaseException:  # raised into this thread from outside
        end(this)
        raise
    finally:
        if setup is not None:
            setup.finish()


def _ended(outcome: Done, this: Run, signals: RunSignals) -> Outcome:
    """The outcome of a run whose handler has returned or raised: what it was, and what it has completed."""
    completion = end(this)
    if completion is None:
        return outcome
    if signals.completions is not None:
        signals.completions.forget(claim_of(this)[:2])
    return Completing(outcome, completion.result)


def _call(
    handler: Handler,
    this: Run,
    most: int,
    claimed: Claimed,
    terms_of: TermsOf,
    setup: Setup | None,
) -> Done:
    current.set(this)
    pid = os.getpid()
    try:
        try:
            if setup is not None and setup.wraps:
                result = within(setup.wraps, this, partial(call_here, handler, this.job))
            else:
                result = handler(this.job)
        finally:
            if os.getpid() != pid:  # the handler forked, and this is the child
                end_child(sys.exception())
    except (Snooze, Retry, Fail, Cancel) as word:
        try:
            return _said(word)
        except BaseException:
            return _raised(word)
    except Stopped as stopped:
        if stopped.reason != "timed_out":
            return Snoozed(0.0)  # if somebody asked to cancel the job, the settlement makes it `cancelled`
        limit = None if setup is None else setup.limit
        if limit is None:
            return _raised(stopped)
        return _timed_out(stopped, this.job, limit, terms_of(claimed.type), is_last_attempt(claimed))
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
        limit = None if setup is None else setup.limit
        if limit is not None and this.timed_out and is_because_of_deadline(error, limit):
            return _timed_out(error, this.job, limit, terms_of(claimed.type), is_last_attempt(claimed))
        # In no variable of this frame, which the error's traceback refers to: that would be a cycle with the handler's locals.
        return _by_terms(_raised(error), this.job, error, terms_of(claimed.type), is_last_attempt(claimed))
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


_OURS = frozenset({
    __name__, "steve._engine.work.window", "steve._engine.inline.place", "steve._engine.inline.alone",
    "steve._engine.inline.drain", "steve._runtime.hooks", "steve._runtime.guard", "steve.tasks", "contextlib",
})  # fmt: skip
"""The modules whose frames lie between the worker and the handler or a hook, besides those of steve.contrib: a traceback begins
after them."""
_PLAIN = frozenset({dict, list, str, int, float, bool})
_HOW_TO_WRAP = "lambda job: asyncio.run(function(job))"


def _is_ours(module: object) -> bool:
    return module in _OURS or (isinstance(module, str) and module.startswith("steve.contrib."))


def _unawaited(result: object) -> str | None:
    """Returns what `result` is, if it should have been run instead of returned: a coroutine, for example, which a plain
    function gets when it calls an async one. Otherwise None."""
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()  # otherwise Python warns that it was never awaited
        return f"a {type(result).__name__}"
    if inspect.isasyncgen(result) or inspect.isawaitable(result):
        return f"a {type(result).__name__}"
    return None


def _said(word: Snooze | Retry | Fail | Cancel) -> Done:
    """What a handler's word means. It is checked again, because the handler may have set its attributes. The traceback is kept
    only if there is an error: the one that was being handled when the word was raised."""
    reason = None if word.reason is None else check_text("the reason", word.reason)
    if isinstance(word, Snooze):
        why = _bounded(f"{SNOOZED}{reason}", MESSAGE_BYTES) if reason else None
        return Snoozed(check_pause("Snooze(seconds)", word.seconds), why)
    name = "Cancelled" if isinstance(word, Cancel) else type(word).__name__
    message = _bounded(f"{name}: {reason}" if reason else name, MESSAGE_BYTES)
    has_error = word.__cause__ is not None or (word.__context__ is not None and not word.__suppress_context__)
    details, printable = _details(word) if has_error else (None, False)
    if isinstance(word, Cancel):
        return CancelRaised(message, details)
    error = word if printable else None
    if isinstance(word, Fail):
        return Raised(message, details, error, _type(word), is_final=True)
    return Raised(message, details, error, _type(word), delay=check_pause("Retry(after)", word.after))


def _by_terms(raised: Raised, job: Job, error: BaseException, terms: HandlerTerms | None, is_last: bool) -> Raised:
    """The outcome with what the terms of the handler's registration say about this error."""
    if terms is None:
        return raised
    if isinstance(error, terms.give_up_on):
        return raised._replace(is_final=True)
    if terms.retry_delay is None or is_last:
        return raised
    pid = os.getpid()
    try:
        try:
            delay = terms.retry_delay(job, error)
        finally:
            if os.getpid() != pid:
                end_child(sys.exception())
        return raised._replace(is_final=True) if delay is None else raised._replace(delay=check_pause("it", delay))
    except BaseException as failure:
        logger.error(
            "the retry_delay of the handler for %r raised: %s; the job's own policy decides",
            job.type, _message(failure), exc_info=failure,
        )  # fmt: skip
        return raised


def _timed_out(error: BaseException, job: Job, limit: Limit, terms: HandlerTerms | None, is_last: bool) -> Raised:
    """The attempt failed because of its deadline. That is the error that counts; what was raised is its cause."""
    text = f"TimedOut after {limit.seconds:g} s"
    timed_out = TimedOut(text)
    timed_out.__cause__ = error
    details, printable = _details(error)
    raised = Raised(text, details, timed_out if printable else None, "steve.TimedOut")
    try:
        return _by_terms(raised, job, timed_out, terms, is_last)
    finally:
        del timed_out  # it refers to the error, whose traceback refers to the caller's frame


def _raised(error: BaseException) -> Raised:
    details, printable = _details(error)
    return Raised(_message(error), details, error if printable else None, _type(error))


def _type(error: BaseException) -> str | None:
    kind = type(error)
    try:
        return _bounded(f"{kind.__module__}.{kind.__qualname__}", TYPE_BYTES)
    except BaseException:  # a class may say of itself what it likes
        return None


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
        while own is not None and _is_ours(own.tb_frame.f_globals.get("__name__")):
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
