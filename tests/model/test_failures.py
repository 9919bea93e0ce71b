"""Failed jobs with one error."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from steve import Failures
from steve._model.failures import grouped, part_of, pattern_of


@pytest.mark.parametrize(
    "errors",
    [
        ("KeyError: 'a'", "KeyError: 'b'"),
        ("no user 17", "no user 4"),
        ("lost 0190d3b4-5f1e-7000-8000-000000000001", "lost 1190d3b4-5f1e-7000-8000-0000000000ff"),
        ('at 0xdeadbeef "x"', 'at 0xfeed "yy"'),
    ],
)
def test_errors_that_differ_in_numbers_and_quoted_texts_are_one(errors: tuple[str, str]) -> None:
    assert pattern_of(errors[0]) == pattern_of(errors[1])
    assert pattern_of(errors[0]) != pattern_of("ValueError: another")


def test_a_group_has_the_newest_as_its_sample_and_knows_the_first_and_the_last_failure() -> None:
    began = datetime(2030, 1, 1, tzinfo=UTC)
    newest, middle, oldest, other = (UUID(int=number) for number in (4, 3, 2, 1))
    hours = [began + timedelta(hours=number) for number in range(4)]
    assert grouped(
        [
            (newest, "mail", "no user 7", hours[1]),
            (middle, "mail", "no user 6", hours[3]),
            (other, "other", "no user 7", hours[0]),
            (oldest, "mail", "no user 5", hours[2]),
        ]
    ) == [
        Failures("mail", "no user …", 3, hours[1], hours[3], newest, "no user "),
        Failures("other", "no user 7", 1, hours[0], hours[0], other, "no user 7"),
    ]


@pytest.mark.parametrize(
    ("error", "part"),
    [
        ("no user …", "no user "),
        ("… of … rows were lost", " rows were lost"),
        ('no "…" there\nfirst line is shorter', "first line is shorter"),
        ("a\tb\u00a0longest", "longest"),
        ("month must be in 1..12", "month must be in 1..12"),
        ("", ""),
    ],
)
def test_the_part_of_a_pattern_is_the_longest_that_each_of_its_errors_has_in_a_line(error: str, part: str) -> None:
    assert part_of(error) == part


def test_the_quotes_of_an_error_stay_and_an_apostrophe_is_none() -> None:
    assert pattern_of("""no "a's" in 'b'""") == """no "…" in '…'"""
    assert pattern_of("can't open b'a', O'Hara") == "can't open b'…', O'Hara"
