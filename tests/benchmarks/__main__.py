"""The command line, `python -m tests.benchmarks`: takes the chosen figures and writes the results."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from . import cluster as clusters
from . import (  # noqa: F401 - registers figures
    create,
    drain,
    fleet,
    growth,
    horizon,
    lanes,
    limits,
    pickup,
    records,
    report,
    resources,
    waits,
)
from .figures import Bench, Figure, Reading, Results, chosen, in_order
from .peers import figures as peers  # noqa: F401 - the same
from .peers.catalogue import PEERS

WITH_PEERS = ("limit.batch", "drain.2", "drain.10", "drain.50", "peer")


def main() -> int:
    options = _options()
    if options.list:
        for figure in in_order():
            print(f"{figure.name:30} {figure.title}{' (--full only)' if figure.full_only else ''}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server does not outlive us
    try:
        only = options.only or (WITH_PEERS if options.peers else ())
        figures = chosen([name for names in only for name in names.split(",") if name], options.full)
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    console = report.console()
    results = Results()
    with clusters.opened(options.database_url) as cluster:
        bench = Bench(cluster, options.quick, options.full)
        sizes = "A quick look, at a twentieth of the sizes" if options.quick else "Sizes as the titles say"
        note = report.machine(cluster, sizes, options.reps)
        report.print_machine(console, note)
        if options.peers and (missing := [peer.name for peer in PEERS if not peer.installed]):
            console.print(f"Not installed: {', '.join(missing)} (make peers)")
        try:
            for repetition in range(options.reps):
                for figure in figures:
                    _take(console, bench, figure, repetition, results)
                _write(options, note, bench, figures, results)  # the next repetition may never be finished
            status = 1 if results.errors else 0
        except KeyboardInterrupt:
            console.print("interrupted: these are the results so far")
            status = 130
        report.print_tables(console, figures, results)
        _write(options, note, bench, figures, results)
    return status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME[,NAME]", help="figures, or groups: drain.10,create"
    )
    parser.add_argument(
        "--peers", action="store_true", help="other job queues next to steve: those that `make peers` installed"
    )
    parser.add_argument("--list", action="store_true", help="list the figures and exit")
    parser.add_argument("--reps", type=int, metavar="N", help="repetitions, interleaved (3; with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="see whether everything works: small sizes, a few minutes")
    parser.add_argument("--full", action="store_true", help="also what takes very long: 10,000,000 finished jobs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a line of JSON for each figure")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the plots as a PNG")
    parser.add_argument("--database-url", metavar="URL", help="a PostgreSQL of yours, as superuser, instead of an embedded one")
    options = parser.parse_args()
    options.reps = options.reps or (1 if options.quick else 3)
    return options


def _take(console: Console, bench: Bench, figure: Figure, repetition: int, results: Results) -> None:
    before = {"load": os.getloadavg()[0], "busy_%": psutil.cpu_percent(0.3)}  # how busy the machine is just before
    begun = time.monotonic()
    try:
        reading = figure.take(bench)
    except Exception as error:
        results.errors.append((figure.name, repetition, f"{type(error).__name__}: {error}"))
        console.print(f"{repetition + 1} {figure.name:20} {type(error).__name__}: {error}", style="red", markup=False)
        return
    seconds = round(time.monotonic() - begun, 1)
    results.add(figure, repetition, Reading(reading.measures, {"before": before, "took_s": seconds} | reading.details))
    measures = "; ".join(f"{report.number(value)} {name}" for name, value in reading.measures.items())
    console.print(
        f"{repetition + 1} {figure.name:18} {measures} (took {seconds:g} s; {before['busy_%']:g} % busy before)", markup=False
    )


def _write(options: argparse.Namespace, note: dict[str, Any], bench: Bench, figures: list[Figure], results: Results) -> None:
    if options.json:
        report.write_json(options.json, note, figures, results)
    if options.plot:
        from . import plot  # matplotlib takes a second to load

        plot.draw(options.plot, note, bench, results)


if __name__ == "__main__":
    sys.exit(main())
