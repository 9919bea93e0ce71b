"""Which rows of the table `stat` make up a span."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from steve._model.spans import KEPT, LENGTHS, Piece, begin_of, pieces

NOW = datetime(2026, 3, 10, 14, 37, 21, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def shown(found: list[Piece]) -> list[tuple[int, str, str]]:
    return [(piece.minutes, f"{piece.since:%d %H:%M}", f"{piece.until:%d %H:%M}") for piece in found]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (60, [(0, "10 14:36", "10 14:38"), (1, "10 14:36", "10 14:38")]),
        (1200, [(0, "10 14:17", "10 14:38"), (1, "10 14:17", "10 14:20"), (10, "10 14:20", "10 14:40")]),
        (
            3600,
            [(0, "10 13:30", "10 14:40"), (10, "10 13:30", "10 14:00"), (60, "10 14:00", "10 15:00")],
        ),
        (10_800, [(0, "10 11:30", "10 14:40"), (10, "10 11:30", "10 12:00"), (60, "10 12:00", "10 15:00")]),
        (10_860, [(0, "10 11:00", "10 15:00"), (60, "10 11:00", "10 15:00")]),  # the minutes of that time are gone
        (
            86_400,
            [(0, "09 14:00", "10 15:00"), (60, "09 14:00", "10 00:00"), (1440, "10 00:00", "11 00:00")],
        ),
    ],
)
def test_a_span_up_to_now_takes_few_rows(seconds: int, expected: list[tuple[int, str, str]]) -> None:
    assert shown(pieces(NOW - timedelta(seconds=seconds), NOW, NOW)) == expected


def test_a_span_in_the_past_ends_where_it_ends() -> None:
    found = pieces(at("2026-03-08 12:10"), at("2026-03-10 01:30"), NOW)
    assert shown(found) == [
        (0, "08 12:00", "10 02:00"),
        (60, "08 12:00", "09 00:00"),
        (1440, "09 00:00", "10 00:00"),
        (60, "10 00:00", "10 02:00"),
    ]


@pytest.mark.parametrize("seconds", [1, 59, 61, 600, 3_599, 3_601, 10_799, 10_801, 50_000, 86_401, 1_000_000, 2_592_000])
@pytest.mark.parametrize("shift", [0, 1, 1_259, 3_600, 40_000, 86_399])
def test_the_pieces_follow_one_another_and_are_all_kept(seconds: int, shift: int) -> None:
    now = NOW + timedelta(seconds=shift)
    since = now - timedelta(seconds=seconds)
    single, *rest = pieces(since, now, now)
    assert single.minutes == 0
    assert single.since == rest[0].since == begin_of(since, now, now) <= since
    assert rest[-1].until >= now
    for piece, following in pairwise(rest):
        assert piece.until == following.since
    origin = datetime(2000, 1, 1, tzinfo=UTC)
    for minutes, begin, end in rest:
        length = timedelta(minutes=minutes)
        assert minutes in LENGTHS
        assert (begin - origin) % length == (end - origin) % length == timedelta(0)
        assert begin + length > now - KEPT[minutes] - length
    assert sum((piece.until - piece.since) / timedelta(minutes=piece.minutes) for piece in rest) <= 75, "rows of a lane"
    assert since - rest[0].since < max(timedelta(minutes=1), timedelta(seconds=seconds) / 6, timedelta(hours=1))
