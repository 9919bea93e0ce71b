"""Shows the results: the machine and a table for each group of figures, and a line of JSON for each figure for programs."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.table import Table

from steve import __version__

from .cluster import Cluster
from .figures import Bar, Figure, Measure, Ref, Results, in_order

BAR_WIDTH = 24

# Measure, range, drawing, bar, ratios.
_COLUMNS: tuple[tuple[int, JustifyMethod], ...] = ((28, "left"), (17, "left"), (BAR_WIDTH, "left"), (36, "left"), (42, "left"))

SHOWN_SETTINGS = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
    "autovacuum_naptime",
)


def machine(cluster: Cluster, sizes: str, repetitions: int) -> dict[str, Any]:
    """Where and how the figures were taken."""
    rows = cluster.connection.execute("select name, current_setting(name) from unnest(%s::text[]) name", [[*SHOWN_SETTINGS]])
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "steve": __version__,
        "psycopg": version("psycopg"),
        "postgresql": cluster.connection.info.parameter_status("server_version"),
        "settings": dict(rows.fetchall()),
        "sizes": sizes,
        "repetitions": repetitions,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def print_machine(console: Console, note: dict[str, Any]) -> None:
    settings = ", ".join(f"{name} {value}" for name, value in note["settings"].items())
    console.print(
        f"{note['cores']} cores of {note['processor']}, {note['memory_gb']:g} GB, {note['system']}; "
        f"load {' '.join(map(str, note['load']))} before.\n"
        f"steve {note['steve']}, Python {note['python']}, psycopg {note['psycopg']}, "
        f"PostgreSQL {note['postgresql']}: {settings}.\n"
        f"Workers, creators and the server share the machine. {note['sizes']}; medians of {note['repetitions']}, "
        f"and in brackets the least and the most; ratios are taken within each repetition."
        + (" The bars (✓, ✗) are meant for the full sizes." if note["sizes"].startswith("A quick") else ""),
        highlight=False,
    )


def print_tables(console: Console, figures: Sequence[Figure], results: Results) -> None:
    """Print for each figure its name, its title, and a line for each measure."""
    for group, grouped in groupby([one for one in in_order() if one in figures], key=lambda one: one.group):
        members = list(grouped)
        console.rule(f"[bold]{group}", align="left", style="dim")
        for one in members:
            console.print(f"[bold]{one.name}[/]  {one.title}")
            console.print(_table(one, members, results))
    for name, repetition, error in results.errors:
        console.print(f"{name}, repetition {repetition + 1}: {error}", style="red", markup=False)


def _table(figure: Figure, neighbours: Sequence[Figure], results: Results) -> Padding:
    table = Table.grid(padding=(0, 2))
    for width, justify in _COLUMNS:
        table.add_column(width=width, justify=justify)
    for name, measure in figure.measures.items():
        ref = (figure.name, name)
        value = results.median(ref)
        table.add_row(
            "not taken" if value is None else f"{number(value)} {name}",
            _range(list(results.values(ref).values())),
            _drawn(value, _longest(neighbours, results, name)),
            _bar(figure, name, results),
            _against(ref, measure, results),
        )
    return Padding(table, (0, 0, 0, 2))


def _unit(name: str) -> str:
    return name.partition(",")[0].partition(" ")[0]


def _longest(members: Sequence[Figure], results: Results, name: str) -> float:
    """The greatest value of that unit in the group, so that the bars of a group can be compared."""
    values = [
        results.median((one.name, other)) or 0.0 for one in members for other in one.measures if _unit(other) == _unit(name)
    ]
    return max(values, default=0.0)


def _drawn(value: float | None, longest: float) -> str:
    """A bar, in eighths of a character: a terminal draws nothing finer."""
    if not value or value < 0 or not longest:
        return ""
    eighths = max(1, round(value / longest * BAR_WIDTH * 8))
    return "█" * (eighths // 8) + ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]


def _range(values: Sequence[float]) -> str:
    return f"[dim]({number(min(values))} - {number(max(values))})[/]" if len(values) > 1 else ""


def _against(ref: Ref, measure: Measure, results: Results) -> str:
    found = [(to, results.ratio(ref, to)) for to in measure.refs()]
    return "\n".join(f"{ratio:.2f} x {_named(to)}" for to, ratio in found if ratio is not None)


def _named(ref: Ref) -> str:
    name, measure = ref
    detail = measure.partition(", ")[2]
    return f"{name.removeprefix('limit.').removeprefix('peer.')}{f', {detail}' if detail else ''}"


def _bar(figure: Figure, name: str, results: Results) -> str:
    measure = figure.measures[name]
    lines = []
    if measure.bars:
        joined = (" or " if measure.any_bar else " and ").join(map(_condition, measure.bars))
        lines.append(f"{_mark(results.met(figure, name))} {joined}")
    lines += [f"{_mark(is_ahead)} ahead of {_named(to)}" for to, is_ahead in results.ahead(figure, name).items()]
    return "\n".join(lines)


def _mark(met: bool | None) -> str:
    return "[dim]?[/]" if met is None else "[green]✓[/]" if met else "[red]✗[/]"


def _condition(bar: Bar) -> str:
    sign = "≥" if bar.sign == ">=" else "≤"
    return f"{sign} {number(bar.number)}" + (f" x {_named(bar.of)}" if bar.of else "")


def number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 and value != int(value) else f"{value:,.4g}"


def lines(note: dict[str, Any], figures: Sequence[Figure], results: Results) -> Iterator[str]:
    """A line of JSON for the machine, then one for each figure."""
    yield json.dumps({"figure": "machine", **note})
    for one in figures:
        readings = results.readings.get(one.name, {})
        yield json.dumps(
            {
                "figure": one.name,
                "title": one.title,
                "measures": {
                    name: {
                        "median": results.median((one.name, name)),
                        "values": list(results.values((one.name, name)).values()),
                        "ratios": {_named(to): results.ratio((one.name, name), to) for to in measure.refs()},
                        "bar": [_condition(bar) for bar in measure.bars],
                        "any_bar": measure.any_bar,
                        "met": results.met(one, name),
                        "ahead": {_named(to): is_ahead for to, is_ahead in results.ahead(one, name).items()},
                    }
                    for name, measure in one.measures.items()
                },
                "details": [readings[repetition].details for repetition in sorted(readings)],
                "errors": [error for name, _, error in results.errors if name == one.name],
            }
        )


def write_json(path: Path, note: dict[str, Any], figures: Sequence[Figure], results: Results) -> None:
    path.write_text("".join(line + "\n" for line in lines(note, figures, results)))


def console() -> Console:
    """As wide as the terminal; where there is none, wide enough for the tables."""
    return Console(width=None if sys.stdout.isatty() else 165, highlight=False)
