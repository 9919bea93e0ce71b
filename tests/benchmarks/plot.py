"""Draws the plots into one PNG: throughput against workers, against the length of the history, over time while a snapshot
keeps PostgreSQL from removing anything, and next to the peers. What was not measured is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from .figures import FIGURES, Bench, Ref, Results
from .growth import HISTORIES
from .limits import BATCH
from .peers.catalogue import PEERS

STEVE, LIMIT = "#1f6f8b", "#9a9a9a"


def draw(path: Path, note: dict[str, Any], bench: Bench, results: Results) -> None:
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    panels: list[Callable[[Axes], None]] = [lambda axes: _workers(axes, results)]
    if any(name.startswith("growth.history.") for name in results.readings):
        panels.append(lambda axes: _history(axes, bench, results))
    if "horizon.pinned" in results.readings:
        panels.append(lambda axes: _horizon(axes, results))
    if peers := _peers(results):
        panels.append(lambda axes: _beside(axes, peers, results))
    canvas = Canvas(figsize=(max(9, 13 * len(panels) / 3), 4.2), layout="constrained")
    for axes, panel in zip(canvas.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axes)
    where = f"{note['cores']} cores of {note['processor']}"
    canvas.suptitle(f"steve {note['steve']} on PostgreSQL {note['postgresql']}: {where}. {note['sizes']}")
    canvas.savefig(path, dpi=150, format="png")


def _upright(axes: Axes) -> None:
    """What all plots with the throughput on the vertical axis have in common."""
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylabel("jobs/s")
    axes.grid(axis="y", alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="lower left")


def _workers(axes: Axes, results: Results) -> None:
    axes.set_title("against workers (one process)")
    counts = sorted(int(name.partition(".")[2]) for name in FIGURES if name.startswith("drain.") and name[6:].isdigit())
    _points(axes, results, [(count, (f"drain.{count}", "jobs/s")) for count in counts])
    _batch(axes, results)
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("workers")
    _upright(axes)


def _history(axes: Axes, bench: Bench, results: Results) -> None:
    axes.set_title("against history (10 workers)")
    places: list[tuple[float, Ref]] = [(0, ("drain.10", "jobs/s"))]
    places += [(bench.jobs(rows) / 1e6, (f"growth.history.{name}", "jobs/s")) for name, rows in HISTORIES.items()]
    _points(axes, results, places)
    _batch(axes, results)
    axes.set_xlabel("finished jobs in the table, millions")
    _upright(axes)


def _horizon(axes: Axes, results: Results) -> None:
    axes.set_title("while a snapshot is open (10 workers)")
    for repetition, reading in sorted(results.readings.get("horizon.pinned", {}).items()):
        pace = reading.details["pace"]
        label = "steve, each repetition" if repetition == 0 else None
        axes.plot([at for at, _ in pace], [speed for _, speed in pace], color=STEVE, alpha=0.7, linewidth=1.2, label=label)
    axes.set_xlabel("seconds since the first completion")
    _upright(axes)


def _peers(results: Results) -> dict[str, Ref]:
    """The peers whose drain was measured. Of those on Django's tasks the reference backend is enough."""
    peers = [peer for peer in PEERS if not peer.is_backend or peer.name == "django-tasks-db"]
    refs = {peer.name: (f"peer.{peer.name}", "jobs/s") for peer in peers}
    return {name: ref for name, ref in refs.items() if results.values(ref)}


def _beside(axes: Axes, peers: dict[str, Ref], results: Results) -> None:
    """Bars, the fastest on top. A mark reaches from the least to the most of the repetitions."""
    axes.set_title("each at its best settings (one process)")
    refs = {"steve, 10 workers": ("drain.10", "jobs/s")} | peers
    found = {name: (results.median(ref) or 0.0, list(results.values(ref).values())) for name, ref in refs.items()}
    bars = sorted(((middle, name, values) for name, (middle, values) in found.items() if values), reverse=True)
    middles = [middle for middle, _, _ in bars]
    reach = [[middle - min(values) for middle, _, values in bars], [max(values) - middle for middle, _, values in bars]]
    colours = [LIMIT if name in peers else STEVE for _, name, _ in bars]
    axes.barh([name for _, name, _ in bars], middles, xerr=reach, color=colours, capsize=2)
    for row, (middle, _, values) in enumerate(bars):
        axes.annotate(
            f"{middle:,.0f}", (max(values), row), xytext=(4, 0), textcoords="offset points", verticalalignment="center"
        )
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("jobs/s")


def _points(axes: Axes, results: Results, places: list[tuple[float, Ref]]) -> None:
    """The medians, joined by a line. A mark reaches from the least to the most of the repetitions."""
    taken = [(at, results.median(ref), list(results.values(ref).values())) for at, ref in places]
    found = [(at, middle, values) for at, middle, values in taken if middle is not None]
    if not found:
        return
    middles = [middle for _, middle, _ in found]
    reach = [[m - min(values) for _, m, values in found], [max(values) - m for _, m, values in found]]
    axes.errorbar([at for at, _, _ in found], middles, yerr=reach, color=STEVE, marker="o", capsize=3, label="steve")


def _batch(axes: Axes, results: Results) -> None:
    batch = results.median(BATCH)
    if batch is not None:
        axes.axhline(batch, color=LIMIT, linestyle="--", label="pgbench, batches of 100, its best")
