"""How commands print what they found: as a table for people, or as json, jsonl or csv for programs. stdout gets nothing else.

JSON is in ASCII and has every value whole. In a table and in CSV each row is one line, and what is not printable is escaped.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TextIO
from uuid import UUID

from steve.cli.text import cut, duration, escaped, time_text, width

FORMS = ("table", "json", "jsonl", "csv")
CELL_MOST = 120
"""Columns of a cell in a table that does not go to a terminal."""
CELL_LEAST = 10
GAP = "  "
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text that begins so for a formula."""
COLOURS = {"failed": "31", "dead": "31", "running": "36", "pending": "33", "completed": "32", "cancelled": "2"}


@dataclass(frozen=True)
class Column:
    """A column of a table; in the other forms a field of this name."""

    name: str
    shown: Callable[[Any], str] | None = None
    """How a table shows a value. None: as `plain` does."""
    is_number: bool = False
    """It stands on the right, and is never cut."""
    in_table: bool = True
    is_whole: bool = False
    """It is never cut."""

    def cell(self, value: Any) -> str:
        if value is None:
            return "-"
        return plain(value) if self.shown is None else self.shown(value)


def plain(value: Any) -> str:
    """A value as a text for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, int):
        return f"{value:,}" if str(value).lstrip("-").isdigit() else str(value)  # a Count may end with a +
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, Mapping) and not value:
        return "{}"
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "-"
    return compact(value) if isinstance(value, Mapping | list | tuple) else str(value)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_for_json)


def _for_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def dumped(value: Any) -> str:
    return json.dumps(value, default=_for_json)


class Output:
    """`form`: one of FORMS. `quiet`: say nothing on stderr but errors."""

    def __init__(self, form: str = "table", *, quiet: bool = False, stdout: TextIO | None = None) -> None:
        self.form = form
        self.quiet = quiet
        self._stdout = stdout

    @property
    def stdout(self) -> TextIO:
        return self._stdout or sys.stdout  # read each time: tests and shells put another one in its place

    @property
    def is_terminal(self) -> bool:
        return self.stdout.isatty()

    @property
    def is_coloured(self) -> bool:
        return self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"

    def say(self, text: str) -> None:
        """A word to the user, on stderr."""
        if not self.quiet:
            print(escaped(text), file=sys.stderr)

    def line(self, text: str) -> None:
        """A line of data, as it is."""
        print(text, file=self.stdout)

    def rows(self, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> int:
        """Print all rows. Returns how many there were."""
        found = list(rows)
        if self.form == "json":
            self.line("[" + ",".join("\n  " + dumped(_fields(columns, row)) for row in found) + ("\n]" if found else "]"))
        elif self.form == "jsonl":
            for row in found:
                self.line(dumped(_fields(columns, row)))
        elif self.form == "csv":
            self._csv([column.name for column in columns])
            for row in found:
                self._csv([csv_cell(row.get(column.name)) for column in columns])
        elif found:
            for text in self.table(columns, found):
                self.line(text)
        return len(found)

    def record(self, columns: Sequence[Column], row: Mapping[str, Any]) -> None:
        """Print one thing: a line for each of its fields in a table, an object in JSON."""
        if self.form in ("json", "jsonl"):
            self.line(json.dumps(_fields(columns, row), default=_for_json, indent=2 if self.form == "json" else None))
        elif self.form == "csv":
            self.rows(columns, [row])
        else:
            shown = [column for column in columns if column.in_table]
            widest = max(len(column.name) for column in shown)
            for column in shown:
                text = escaped(column.cell(row.get(column.name)))
                self.line(f"{self.bold(column.name.ljust(widest))}{GAP}{self._coloured(text)}")

    def stream(self, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]], text: Callable[[Any], str]) -> int:
        """Print each row as soon as it is there; in a table as `text(row)`. Returns how many there were."""
        number = 0
        if self.form == "csv":
            self._csv([column.name for column in columns])
        for number, row in enumerate(rows, 1):
            if self.form == "table":
                self.line(escaped(text(row)))
            elif self.form == "csv":
                self._csv([csv_cell(row.get(column.name)) for column in columns])
            elif self.form == "jsonl":
                self.line(dumped(_fields(columns, row)))
            else:
                self.line(("[\n  " if number == 1 else " ,") + dumped(_fields(columns, row)))
            self.stdout.flush()
        if self.form == "json":
            self.line("]" if number else "[]")
        return number

    def table(self, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], room: int | None = None) -> list[str]:
        """The lines of a table. `room`: columns of the terminal; None: those of stdout."""
        shown = [column for column in columns if column.in_table]
        if room is None:
            room = shutil.get_terminal_size().columns if self.is_terminal else 0
        most = room or CELL_MOST
        cells = [
            [
                escaped(column.cell(row.get(column.name)))
                if column.is_number or column.is_whole
                else cut(column.cell(row.get(column.name)), most)
                for column in shown
            ]
            for row in rows
        ]
        widths = [
            max(len(column.name), *(width(cell[place]) for cell in cells)) if cells else len(column.name)
            for place, column in enumerate(shown)
        ]
        if room:
            widths = fitted(widths, [column.is_number or column.is_whole for column in shown], room)
            while len(shown) > 2 and sum(widths) + len(GAP) * (len(widths) - 1) > room:
                shown, widths, cells = shown[:-1], widths[:-1], [row[:-1] for row in cells]
        head = self._joined(shown, [column.name for column in shown], widths, room)
        return [self.bold(head), *(self._coloured_row(self._joined(shown, cell, widths, room)) for cell in cells)]

    def _joined(self, columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int], room: int) -> str:
        parts = []
        for column, cell, most in zip(columns, cells, widths, strict=True):
            text = cell if width(cell) <= most else cut(cell, most)
            blanks = " " * (most - width(text))
            parts.append(blanks + text if column.is_number else text + blanks)
        line = GAP.join(parts).rstrip()
        return cut(line, room) if room and width(line) > room else line

    def bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.is_coloured else text

    def _coloured(self, text: str) -> str:
        return f"\x1b[{COLOURS[text]}m{text}\x1b[0m" if self.is_coloured and text in COLOURS else text

    def _coloured_row(self, line: str) -> str:
        if not self.is_coloured:
            return line
        for word in line.split():
            if word in COLOURS:
                return line.replace(f" {word} ", f" \x1b[{COLOURS[word]}m{word}\x1b[0m ", 1)
        return line

    def _csv(self, cells: Sequence[Any]) -> None:
        csv.writer(self.stdout, lineterminator="\n").writerow(cells)


def fitted(widths: Sequence[int], fixed: Sequence[bool], room: int) -> list[int]:
    """The widths, with the widest of those that are not fixed made smaller until all fit."""
    fit = list(widths)
    while sum(fit) + len(GAP) * (len(fit) - 1) > room:
        flexible = [place for place, is_fixed in enumerate(fixed) if not is_fixed and fit[place] > CELL_LEAST]
        if not flexible:
            break
        widest = max(flexible, key=lambda place: fit[place])
        fit[widest] -= 1
    return fit


def _fields(columns: Sequence[Column], row: Mapping[str, Any]) -> dict[str, Any]:
    return {column.name: row.get(column.name) for column in columns}


def csv_cell(value: Any) -> Any:
    """A value for a cell of CSV. A text that a spreadsheet would take for a formula gets a quote before it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    text = dumped(value) if isinstance(value, Mapping | list | tuple) else str(value)
    return "'" + escaped(text) if text.startswith(FORMULA) else escaped(text)
