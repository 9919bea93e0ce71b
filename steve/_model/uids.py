"""Makes uids: UUIDs of version 7, which begin with the time."""

from __future__ import annotations


def uuid7(ticks: int, chance: int) -> int:
    """A UUID version 7 (RFC 9562) as an integer: 48 bits of milliseconds, 12 bits of their fraction, 62 random bits.

    The index of UUIDs in the order of time grows at one end. Random UUIDs would cost two to three times the WAL at a million
    rows.

    `ticks`: 4,096ths of a millisecond since 1970. `chance`: 64 bits of os.urandom. The default of the column uid makes the same
    (0001_expand_job_attempt_process.sql), so that jobs made by plain SQL have their place among the others.
    """
    head = (ticks >> 12 & 0xFFFF_FFFF_FFFF) << 16 | 7 << 12 | ticks & 0xFFF
    return head << 64 | 0b10 << 62 | chance >> 2


def ticks_at(nanoseconds: int) -> int:
    """The time in 4,096ths of a millisecond."""
    return nanoseconds * 4096 // 1_000_000
