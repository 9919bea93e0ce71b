"""The command line, `python -m tests.chaos`: injects the chosen faults and writes the report."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path

from tests.page import keep

from . import (  # noqa: F401 - the import registers their faults
    auto_failover,
    bad,
    cancels,
    clocks,
    control,
    cuts,
    deaths,
    failover,
    forks,
    frameworks,
    limits,
    logs,
    misuse,
    network,
    notify,
    once,
    pauses,
    pools,
    rollout,
    schedules,
    schemas,
    server,
    skew,
    soak,
    states,
    tables,
    timeouts,
    unique,
    waits,
)
from .cluster import Cluster, opened
from .faults import FAULTS, Fault, Shard, Site, Skipped, chosen
from .processes import Warden
from .report import Result, line, markdown


def main() -> int:
    options = _options()
    if options.list:
        for one in FAULTS.values():
            print(f"{one.id:6}{one.title} (a trial: {one.trial}; {one.short} in short, {one.long} in long)")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server does not outlive us
    seed = options.seed or f"{random.getrandbits(32):08x}"
    long = bool(options.minutes)
    try:
        faults = options.shard(chosen([id for ids in options.only for id in ids.split(",") if id], short=not long))
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    print(f"seed {seed}", flush=True)
    results = [Result(one) for one in faults]
    began = time.monotonic()
    warden = Warden()
    try:
        with opened(warden) as cluster:
            version = f"PostgreSQL {cluster.ask('show server_version')[0][0]}"
            number = 0
            while not number or (long and time.monotonic() - began < options.minutes * 60):
                for result in results:
                    _take(
                        cluster,
                        warden,
                        result,
                        options.trials or _trials(result.fault, long),
                        f"{seed}:{number}",
                        options.patience,
                    )
                    print(line(result), flush=True)
                    _write(options.markdown, options.only, markdown(results, seed, version, time.monotonic() - began))
                number += 1
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    finally:
        warden.close()
    print("\n" + markdown(results, seed, version, time.monotonic() - began))
    return 0 if all(result.found.is_sound() for result in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="ID[,ID]", help="these faults: F3,F8a")
    parser.add_argument(
        "--shard",
        type=Shard,
        default="1/1",
        metavar="I/N",
        help="the Ith of N parts of the faults, each for a run beside the others",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="trials of each fault, instead of the number that it names")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="repeat all faults for M minutes, in the long form; without: one short round"
    )
    parser.add_argument("--seed", metavar="TEXT", help="the seed of a run that is to be repeated; without: a random one")
    parser.add_argument(
        "--patience", type=float, default=1.0, metavar="N", help="allow everything N times as long as expected (1)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report into this page: docs/reliability.md")
    parser.add_argument("--list", action="store_true", help="list the faults and exit")
    return parser.parse_args()


def _trials(fault: Fault, long: bool) -> int:
    return fault.long if long or not fault.short else fault.short


def _take(cluster: Cluster, warden: Warden, result: Result, trials: int, seed: str, patience: float) -> None:
    """Run one round of a fault. An error in it counts as a flaw, and the next fault runs all the same."""
    fault = result.fault
    try:
        with fault.open(warden) if fault.open else nullcontext(cluster) as mine:
            _inject(Site(mine, warden, fault, trials, f"{seed}:{fault.id}", patience), result)
    except Skipped as skip:
        result.skipped = str(skip)
    except Exception as error:
        traceback.print_exc()
        result.found.flaws["broken"].append(f"{type(error).__name__}: {error}")


def _inject(site: Site, result: Result) -> None:
    sound = False
    try:
        result.fault.inject(site)
        found = site.finish()
        sound = found.is_sound()
        result.found.add(found)
    except Skipped:
        sound = True
        raise
    finally:
        result.trials += site.done
        result.notes |= site.notes
        result.met += site.met
        if not sound:
            result.kept.append(str(site.directory))
            print(f"the ledger of {result.fault.id} is kept in {site.directory}")
        site.close(keep=not sound)


def _write(page: Path | None, only: list[str], text: str) -> None:
    """The report of a run with `--only` has a part of the page to itself."""
    if page:
        keep(page, " ".join(["chaos", *only]), text)


if __name__ == "__main__":
    sys.exit(main())
