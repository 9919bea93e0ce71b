"""The logger `steve`, as all of steve uses it: it never raises. A filter or a handler of the application's may raise anything,
and neither a loop of the engine nor a job may end because of it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import MutableMapping
from typing import Any


class _Guarded(logging.LoggerAdapter[logging.Logger]):
    """Every method of a logger that logs comes to `log`."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        with contextlib.suppress(Exception):
            super().log(level, msg, *args, stacklevel=2, **kwargs)  # the place that logs, not this one

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs  # each call's own `extra`


logger = _Guarded(logging.getLogger("steve"))
