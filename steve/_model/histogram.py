"""A histogram as a number, so that to add the numbers is to add the histograms: SQL's sum() merges them.

Its twelve last digits are the count of the first bucket, the twelve before that of the second, and so on: `BOUNDS` in
steve/stats.py. PostgreSQL's `numeric` stores no zeros at either end, so such a number takes six bytes for each bucket between
the lowest and the highest that are in use. A count would have to reach 10^12 to spill over: at 30,000 jobs a second, in a year.
"""

from __future__ import annotations

from collections.abc import Sequence

from steve.stats import DIGITS


def as_number(counts: Sequence[int]) -> str:
    """In decimal digits. `Times` reads them."""
    return "".join(f"{count:0{DIGITS}d}" for count in reversed(counts)).lstrip("0") or "0"
