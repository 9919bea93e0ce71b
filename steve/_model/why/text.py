"""The words that the rules share: durations, counts, and lists of processes."""

from __future__ import annotations

from collections.abc import Sequence

from steve._model.json import readable
from steve._model.why.facts import Held
from steve.presence import Process

NAMED_MOST = 3
ERROR_MOST = 200


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `5 min`, `3 h`, `2 days`."""
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    if seconds < 119.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 47.5 * 3600 else f"{seconds / 86400:.0f} days"


def times(count: int, word: str) -> str:
    """`1 job`, `12,000 jobs`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """`a, b, c and 4 more`."""
    more = len(names) - NAMED_MOST
    shown = [*names[:NAMED_MOST], *([f"{more} more"] if more > 0 else [])]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def names(processes: Sequence[Process]) -> str:
    return listed([process.name for process in processes])


def are(items: Sequence[object], one: str = "is", many: str = "are") -> str:
    return one if len(items) == 1 else many


def error(text: str | None) -> str:
    """An error's message, as much as fits into a sentence."""
    line = readable(" ".join((text or "an unknown error").split()))
    return line if len(line) <= ERROR_MOST else line[:ERROR_MOST] + "..."


def held(held: Held) -> str:
    return held.holder if held.seconds is None else f"{held.holder}, for {duration(held.seconds)}"
