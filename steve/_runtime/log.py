"""The logger `steve`, which never raises. All of steve logs through it.

The application's log filters and handlers may raise anything, and that must end neither a loop of the engine nor a job.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import MutableMapping
from typing import Any


class _Guarded(logging.LoggerAdapter[logging.Logger]):
    """All methods that log, such as `info`, call `log`."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        with contextlib.suppress(Exception):
            super().log(level, msg, *args, stacklevel=2, **kwargs)  # the log names the place that called, not this one

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs  # keeps the `extra` of each call


logger = _Guarded(logging.getLogger("steve"))
