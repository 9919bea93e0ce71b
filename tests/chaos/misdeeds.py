"""What careless handlers do, by name, and what must become of their jobs: the worker's side of bad.py.

A job names its misdeed in its payload, under `do`. The worker notes in the ledger how the run ends before the misdeed, because
it may be unable to do so afterwards.
"""

from __future__ import annotations

import asyncio
import decimal
import locale
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

HUGE = 100_000_000
"""Characters: about a hundred times the default limit."""


@dataclass(frozen=True)
class Scene:
    """What a handler can use."""

    by: str
    """The run. The result of a job that completes must name it."""
    pool: ConnectionPool[Any] | None
    """The application's own pool, which it has also given to the manager."""
    ledger: int
    """The file descriptor of the ledger, which must stay open."""


@dataclass(frozen=True)
class Misdeed:
    commit: Callable[[Scene], Any]
    """The handler. It returns the job's result."""
    error: str | None = None
    """How the error begins with which the job fails; None: the job completes."""


class Unspeakable(Exception):
    """An exception without a text: its str() raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


class Unshowable(Exception):
    def __repr__(self) -> str:
        raise LookupError("no repr")


class Endless(dict[str, Any]):
    """A dict whose items cannot be read."""

    def items(self) -> NoReturn:
        raise SystemExit("no items")


def _raiser(make: Callable[[], BaseException]) -> Callable[[Scene], NoReturn]:
    def commit(scene: Scene) -> NoReturn:
        raise make()

    return commit


def _circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _caused(times: int) -> Exception:
    error = Exception("the first")
    for number in range(times):
        last = error
        error = Exception(str(number))
        error.__cause__ = last
    return error


def _recurse(scene: Scene) -> Any:
    return _recurse(scene)


# -- processes, files ------------------------------------------------------------------------------------------------------


def _fork(end: Callable[[], Any]) -> Callable[[Scene], Any]:
    """`end`: what the child does. If it returns, the child comes back out of the handler."""

    def commit(scene: Scene) -> Any:
        child = os.fork()
        if not child:
            end()
            return {"by": "the child"}
        os.waitpid(child, 0)
        return {"by": scene.by}

    return commit


def _fail() -> NoReturn:
    raise RuntimeError("in the child")


def _multiprocess(scene: Scene) -> Any:
    child = multiprocessing.get_context("fork").Process(target=sys.exit, args=(3,))
    child.start()
    child.join()
    return {"by": scene.by, "code": child.exitcode}


def _subprocess(scene: Scene) -> Any:
    return {"by": scene.by, "code": subprocess.run([sys.executable, "-c", "import sys; sys.exit(3)"], check=False).returncode}


def _close_files(scene: Scene) -> Any:
    os.closerange(3, scene.ledger)  # the ledger stays open: it is the record of the trial
    os.closerange(scene.ledger + 1, 4096)
    return {"by": scene.by}


# -- the state of the process ----------------------------------------------------------------------------------------------


def _change(change: Callable[[], object]) -> Callable[[Scene], Any]:
    def commit(scene: Scene) -> Any:
        change()
        return {"by": scene.by}

    return commit


def _change_decimals() -> None:
    decimal.getcontext().prec = 1
    decimal.getcontext().traps[decimal.Inexact] = True


def _trace(*arguments: object) -> NoReturn:
    raise RuntimeError("traced")


def _borrow(*statements: str) -> Callable[[Scene], Any]:
    """Take all free connections of the pool that the manager uses too, change each, and give it back in that state."""

    def commit(scene: Scene) -> Any:
        assert scene.pool is not None
        taken = []
        with suppress(PoolTimeout):
            while True:
                taken.append(scene.pool.getconn(timeout=0.1))
        for connection in taken:
            with suppress(psycopg.Error):
                for statement in statements:
                    connection.execute(statement.encode())
            scene.pool.putconn(connection)
        return {"by": scene.by, "taken": len(taken)}

    return commit


NOT_STORABLE = "ResultNotStorable: the handler finished, but "

RESULTS: dict[str, Misdeed] = {
    "B1: a NUL in the result": Misdeed(lambda scene: {"by": scene.by, "text": "a\x00b", "a\x00b": 1}),
    "B2: a lone surrogate in the result": Misdeed(lambda scene: {"by": scene.by, "text": "a\ud800b", "a\udfffb": 1}),
    **{
        name: Misdeed(lambda scene, make=make: make(), NOT_STORABLE + error)
        for name, (make, error) in {
            "B3: NaN as result": (lambda: {"a": float("nan")}, 'result["a"] is nan'),
            "B3: infinity as result": (lambda: float("inf"), "result is inf"),
            "B8: 5,001 digits as result": (lambda: 10**5000, "result is an integer of more than"),
            "B9: a result of 100 MB": (lambda: "x" * HUGE, "its result has 100000002 bytes"),
            "B9: a set": (lambda: {1}, "result is a set"),
            "B9: bytes": (lambda: [b"a"], "result[0] is a bytes"),
            "B9: an object": (object, "result is a object"),
            "B9: an open file": (lambda: sys.stderr, "result is a TextIOWrapper"),
            "B9: a list that contains itself": (_circular, "result[0][0]"),
            "B9: 1,000 levels": (lambda: _nested(1000), "result[0][0]"),
            "B9: 100,000 levels": (lambda: _nested(100_000), "result[0][0]"),
            "B9: an int as key": (lambda: {1: 1}, "result has a key that is a int"),
            "B9: a dict that raises SystemExit when read": (Endless, "its result cannot be read: SystemExit: no items"),
        }.items()
    },
    "B9: a generator": Misdeed(lambda scene: (n for n in [1]), "HandlerNotRun: the handler returned a generator"),
}

RAISES: dict[str, Misdeed] = {
    name: Misdeed(_raiser(make), error)
    for name, (make, error) in {
        "B16: 100 MB of message": (lambda: Exception("x" * HUGE), "Exception: xxx"),
        "B16: a NUL and a lone surrogate": (lambda: Exception("a\x00b\ud800c"), "Exception: a\ufffdb\ufffdc"),
        "B16: str() raises ValueError": (lambda: Unspeakable(ValueError()), "Unspeakable: <its str() raised ValueError>"),
        "B16: str() raises SystemExit": (lambda: Unspeakable(SystemExit()), "Unspeakable: <its str() raised SystemExit>"),
        "B16: str() raises KeyboardInterrupt": (lambda: Unspeakable(KeyboardInterrupt()), "Unspeakable: <its str() raised"),
        "B16: repr() raises": (Unshowable, "Unshowable"),
        "B16: 10,000 causes": (lambda: _caused(10_000), "Exception: 9999"),
        "B16: a group of 10,000": (lambda: ExceptionGroup("all", [ValueError()] * 10_000), "ExceptionGroup: all"),
        "C9: SystemExit": (lambda: SystemExit(0), "SystemExit: 0"),
        "C9: KeyboardInterrupt": (KeyboardInterrupt, "KeyboardInterrupt"),
        "C9: GeneratorExit": (GeneratorExit, "GeneratorExit"),
        "C9: StopIteration": (StopIteration, "StopIteration"),
        "C9: CancelledError": (asyncio.CancelledError, "CancelledError"),
        "C9: MemoryError": (MemoryError, "MemoryError"),
        "C9: BaseException": (BaseException, "BaseException"),
        "C9: a BaseExceptionGroup": (lambda: BaseExceptionGroup("all", [SystemExit()]), "BaseExceptionGroup: all"),
    }.items()
} | {"B17: recursion without end": Misdeed(_recurse, "RecursionError: maximum recursion depth exceeded")}

FORKS: dict[str, Misdeed] = {
    "B19: the child of a fork returns": Misdeed(_fork(lambda: None)),
    "B19: the child of a fork raises": Misdeed(_fork(_fail)),
    "B19: the child of a fork calls sys.exit": Misdeed(_fork(sys.exit)),
    "B19: the child of a fork calls os._exit": Misdeed(_fork(lambda: os._exit(1))),
    "B19: multiprocessing": Misdeed(_multiprocess),
    "B19: subprocess": Misdeed(_subprocess),
}

CHANGES: dict[str, Misdeed] = {
    "B21: another directory": Misdeed(_change(lambda: os.chdir("/"))),
    "B21: another locale": Misdeed(_change(lambda: locale.setlocale(locale.LC_ALL, "C"))),
    "B21: a signal handler": Misdeed(
        _change(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)), "ValueError: signal only works in main thread"
    ),
    "B21: socket.setdefaulttimeout": Misdeed(_change(lambda: socket.setdefaulttimeout(0.001))),
    "B21: the decimal context": Misdeed(_change(_change_decimals)),
    "B21: a trace function that raises": Misdeed(_change(lambda: threading.settrace(_trace))),
    "B21: warnings as errors": Misdeed(_change(lambda: warnings.simplefilter("error"))),
    "B21: a recursion limit of 200": Misdeed(_change(lambda: sys.setrecursionlimit(200))),
    "B21: a switch interval of a second": Misdeed(_change(lambda: sys.setswitchinterval(1.0))),
    "B21: the environment emptied": Misdeed(_change(os.environ.clear)),
}

BORROWS: dict[str, Misdeed] = {
    "B22: a transaction left open": Misdeed(_borrow("begin")),
    "B22: a transaction that failed": Misdeed(_borrow("begin", "select 1 / 0")),
    "B22: another search_path": Misdeed(_borrow("set search_path to nowhere", "commit")),
    "B22: read-only": Misdeed(_borrow("set default_transaction_read_only to on", "commit")),
    "B22: statement_timeout": Misdeed(_borrow("set statement_timeout to 1", "commit")),
    "B22: another encoding": Misdeed(_borrow("set client_encoding to latin1", "commit")),
}

CLOSES: dict[str, Misdeed] = {"B20: all files closed": Misdeed(_close_files)}

MISDEEDS = RESULTS | RAISES | FORKS | CHANGES | BORROWS | CLOSES
