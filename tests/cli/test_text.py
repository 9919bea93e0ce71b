"""What a terminal gets to see of texts that others wrote; ages, tables and cells. No database."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID

import pytest

from steve.cli.output import Column, Output, csv_cell, fitted
from steve.cli.redact import redacted
from steve.cli.text import cut, duration, escaped, width
from tests.cli.conftest import HOSTILE, Terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢 🙂", "plain é 漢 🙂"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[2J\x07\x00\x9b", r"\x1b[2J\x07\x00\x9b"),
        ("\u202etxt.exe\u2066", r"\u202etxt.exe\u2066"),
        ("\u2028\u2029\u200b\ufeff", r"\u2028\u2029\u200b\ufeff"),
        ("\ud800\U000e0041", r"\ud800\U000e0041"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("漢字", 4, "漢字"),
        ("漢字漢", 4, "漢…"),
        ("e\u0301" * 3, 3, "e\u0301" * 3),
        ("", 3, ""),
    ],
)
def test_a_text_is_cut_to_columns_of_the_terminal(text: str, columns: int, shown: str) -> None:
    assert cut(text, columns) == shown
    assert width(cut(text, columns)) <= columns


def test_a_megabyte_is_cut_without_looking_at_all_of_it() -> None:
    assert cut("x" * 1_000_000, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.0004, "0.4 ms"), (0.25, "250 ms"), (3.21, "3.2 s"), (42.4, "42 s"), (312, "5 min 12 s"),
     (12_000, "3 h 20 min"), (90_000, "1 d 1 h"), (-5, "-5.0 s"), (timedelta(hours=1), "1 h"), (59.7, "60 s")],
)  # fmt: skip
def test_a_duration_is_a_number_people_read(seconds: float | timedelta, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@x", "'@x"), ("\tx", "'\\tx"), ("\rx", "'\\rx"), ("x=1", "x=1"),
        (-5, -5), (None, None), (True, True), ({"a": "\u202e"}, '{"a": "\\u202e"}'), (timedelta(seconds=2), 2.0),
        (datetime(2030, 1, 1, tzinfo=UTC), "2030-01-01T00:00:00+00:00"), (UUID(int=1), str(UUID(int=1))),
    ],
)  # fmt: skip
def test_a_cell_of_csv_is_no_formula_and_one_line(value: object, cell: object) -> None:
    assert csv_cell(value) == cell


def test_the_widest_column_gives_way_first_and_numbers_never() -> None:
    assert fitted([5, 40, 20], [True, False, False], 40) == [5, 15, 16]
    assert fitted([30, 30], [True, True], 10) == [30, 30]


@pytest.mark.parametrize("columns", [80, 160])
def test_no_line_of_a_table_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [{"a": HOSTILE * 20, "b": 1234567, "c": "漢" * 200}, {"a": "x", "b": None, "c": "[bold]y[/bold]"}]
    lines = Output("table", stdout=StringIO()).table([Column("a"), Column("b", is_number=True), Column("c")], rows, columns)
    assert len(lines) == 3
    assert max(map(width, lines)) <= columns
    assert "[bold]y[/bold]" in lines[2]
    assert "".join(lines).isprintable()


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False),
     ({"TERM": "xterm", "NO_COLOR": ""}, True)],
)  # fmt: skip
def test_colours_are_for_terminals_where_nobody_says_no(
    variables: dict[str, str], is_coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    printed = Terminal()
    Output("table", stdout=printed).rows(
        [Column("uid"), Column("status"), Column("x")], [{"uid": "1", "status": "failed", "x": 2}]
    )
    assert ("\x1b[31mfailed\x1b[0m" in printed.getvalue()) is is_coloured
    assert ("\x1b" in printed.getvalue()) is is_coloured


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"password": "x", "n": 1}, {"password": "[hidden]", "n": 1}),
        ({"a": [{"API-Key": {"b": 1}}]}, {"a": [{"API-Key": "[hidden]"}]}),
        ({"Authorization": "Bearer x", "creditCard": 1}, {"Authorization": "[hidden]", "creditCard": "[hidden]"}),
        ([1, "password"], [1, "password"]),
        (None, None),
    ],
)
def test_secrets_are_hidden_by_their_names_at_any_depth(value: object, shown: object) -> None:
    assert redacted(value) == shown
