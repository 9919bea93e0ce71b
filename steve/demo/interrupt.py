"""Ctrl-C and SIGTERM while the demo runs."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible_once() -> Iterator[None]:
    """Ctrl-C, or a supervisor's SIGTERM, raises KeyboardInterrupt. A second one is ignored, so that the demo can clean up."""

    def interrupt(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
