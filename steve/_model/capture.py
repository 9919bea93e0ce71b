"""Which log lines of a run are kept: what the manager says, and what was said when the handler was registered. Pure."""

from __future__ import annotations

from typing import NamedTuple

from steve.errors import shown

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
NOTHING = 1 << 30
"""The level of a run whose log lines are not kept."""


class Capture(NamedTuple):
    """What is kept of a run."""

    level: int
    """Lines of this level and above."""
    prints: bool
    """What it prints, too."""


def check_level(level: object) -> int | None:
    """The level of a `capture_logs` as a number: NOTHING for False; None stays None. Raises TypeError or ValueError."""
    if level is None:
        return None
    if level is False:
        return NOTHING
    if isinstance(level, str):
        if (number := LEVELS.get(level.upper())) is None:
            raise ValueError(f"capture_logs must be one of {', '.join(LEVELS)}, a number, False or None, not {shown(level)}")
        return number
    if type(level) is not int:  # not isinstance: True is an int
        raise TypeError(f'capture_logs must be a level such as "INFO", False or None, not {type(level).__name__}')
    if not 0 <= level <= NOTHING:
        raise ValueError(f"capture_logs must be 0 or more, not {shown(level)}")
    return level


def check_prints(prints: object) -> bool | None:
    """Returns the `capture_print`. Raises TypeError."""
    if prints is not None and not isinstance(prints, bool):
        raise TypeError(f"capture_print must be True, False or None, not {type(prints).__name__}")
    return prints


def capture_of(
    level: int | None, prints: bool | None, handler_level: int | None = None, handler_prints: bool | None = None
) -> Capture | None:
    """What is kept of a run, by what the manager and its handler say. None: nothing."""
    level = level if handler_level is None else handler_level
    prints = prints if handler_prints is None else handler_prints
    level = NOTHING if level is None else level
    return None if level == NOTHING and not prints else Capture(level, bool(prints))
