"""A histogram as a number, so that to add the numbers is to add the histograms: SQL's sum() merges them.

Its twelve last digits are the count of the first bucket, the twelve before that of the second, and so on: `BOUNDS` in
steve/stats.py. PostgreSQL's `numeric` stores no zeros at either end, so such a number takes six bytes for each bucket between
the lowest and the highest that are in use. A count would have to reach 10^12 to spill over: at 30,000 jobs a second, in a year.
"""

from __future__ import annotations

from collections.abc import Sequence

DIGITS = 12


def as_number(counts: Sequence[int]) -> str:
    """In decimal digits."""
    return "".join(f"{count:0{DIGITS}d}" for count in reversed(counts)).lstrip("0") or "0"


def from_number(number: str) -> tuple[int, ...]:
    """The counts, without zeros after the last."""
    if number == "0":
        return ()
    padded = number.rjust(-(-len(number) // DIGITS) * DIGITS, "0")
    return tuple(int(padded[place - DIGITS : place]) for place in range(len(padded), 0, -DIGITS))
